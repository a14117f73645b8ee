"""`manage.py ledger_import FILE`: opening balances, asked for by one person and granted by another."""

from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from billing.management.output import ChangingCommand
from billing.services.opening_balances import import_opening, read_opening_balances, request_opening


class Command(ChangingCommand):
    help = "Import opening balances: first with --maker and --reason, then, by someone else, with --checker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and who acts."""
        super().add_arguments(parser)
        parser.add_argument("file", type=Path)
        parser.add_argument("--maker", default="", help="who asks for the import")
        parser.add_argument("--reason", default="", help="why")
        parser.add_argument("--checker", default="", help="who grants it; the balances are booked then")

    def run(self, options: dict[str, Any]) -> None:
        """Ask for approvals, or grant them and book."""
        if bool(options["maker"]) == bool(options["checker"]) or (options["maker"] and not options["reason"]):
            raise CommandError("Give --maker and --reason to ask, or --checker to grant and book.")
        try:
            lines = read_opening_balances(options["file"])
        except OSError as error:
            raise CommandError(f"The file cannot be read: {error}") from error
        facts: dict[str, Any] = {"lines": len(lines), "dry_run": options["is_dry_run"]}
        if not options["is_dry_run"]:
            if options["maker"]:
                facts["asked"] = request_opening(lines, maker=options["maker"], reason=options["reason"])
            else:
                facts |= Counter(str(result.status) for result in import_opening(lines, checker=options["checker"]))
        said = ", ".join(f"{name}: {value}" for name, value in facts.items())
        self.answer(facts, lines=[said], as_json=options["as_json"])
