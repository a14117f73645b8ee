"""Serve the demonstration model over the OpenAI chat API on this machine."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from inference.demo.server import HOST, demo_server


class Command(BaseCommand):
    """`manage.py serve_demo_model --port 8410`, then point an upstream's base_url at it."""

    help = "Serve loa-demo over the OpenAI chat API at 127.0.0.1, until interrupted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to listen."""
        parser.add_argument("--port", type=int, default=8410, help="0 takes a free port")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until Ctrl-C."""
        with demo_server(options["port"]) as server:
            self.stdout.write(f"http://{HOST}:{server.server_address[1]}/v1")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                self.stdout.write("stopped")
