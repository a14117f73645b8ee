"""`manage.py build_docs FOLDER`: the documents as static files, with every link checked."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from loa_site.guide.building import broken_links, build, links_of


class Command(BaseCommand):
    """Builds the documents; fails when a link leads nowhere."""

    help = "Write the documents as static files and check every link in them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="where to write; emptied first")
        parser.add_argument("--json", action="store_true", help="answer as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        count = build(options["folder"])
        links = links_of(options["folder"])
        broken = broken_links(options["folder"])
        if options["json"]:
            self.stdout.write(json.dumps({"pages": count, "links": links, "broken_links": broken}))
        else:
            self.stdout.write(f"{count} pages in {options['folder']}, {links} links, {len(broken)} broken.")
        if broken:
            raise CommandError("These links lead nowhere:\n  " + "\n  ".join(broken))
