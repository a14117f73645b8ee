"""How operators' commands speak: plain lines for people, one JSON object for programs with --json."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.domain.errors import BillingError


class OperatorCommand(BaseCommand):
    """A command with --json whose refusals are messages with an exit code, never a traceback."""

    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Every operators' command can answer in JSON."""
        parser.add_argument("--json", action="store_true", dest="as_json", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the command; a refusal of the ledger becomes a message and exit code 1."""
        try:
            self.run(options)
        except BillingError as error:
            if options["as_json"]:
                self.stdout.write(json.dumps({"error": error.code, **{k: str(v) for k, v in error.facts.items()}}))
            raise CommandError(str(error)) from error

    def run(self, options: dict[str, Any]) -> None:
        """What the command does."""
        raise NotImplementedError

    def answer(self, facts: dict[str, Any], *, lines: list[str], as_json: bool) -> None:
        """Write the facts as JSON, or the lines for people."""
        if as_json:
            self.stdout.write(json.dumps(facts, default=str))
            return
        for line in lines:
            self.stdout.write(line)


class ChangingCommand(OperatorCommand):
    """A command that changes something: with --dry-run it says what it would do."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Changing commands can be tried first."""
        super().add_arguments(parser)
        parser.add_argument(
            "--dry-run", action="store_true", dest="is_dry_run", help="say what would be done, do nothing"
        )
