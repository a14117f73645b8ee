"""`manage.py close_period UNTIL --by WHO`: after it, nothing may be dated into the period."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from billing.management.output import ChangingCommand
from billing.services.periods import close_period, closed_until


class Command(ChangingCommand):
    help = "Close every stream up to and including a moment, such as 2026-11-30T23:59:59.999999Z."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Until when, and by whom."""
        super().add_arguments(parser)
        parser.add_argument("until")
        parser.add_argument("--by", required=True)

    def run(self, options: dict[str, Any]) -> None:
        """Close the period."""
        try:
            until = parse_datetime(options["until"])
        except ValueError:
            until = None
        if until is None or timezone.is_naive(until):
            raise CommandError("The moment must be a date and time with its offset, such as 2026-11-30T23:59:59Z.")
        if options["is_dry_run"]:
            facts = {"until": until, "closed_until": closed_until(), "dry_run": True}
            self.answer(
                facts, lines=[f"Closed until {facts['closed_until']}, would be {until}."], as_json=options["as_json"]
            )
            return
        streams = close_period(until, by=options["by"])
        self.answer(
            {"until": until, "streams": streams, "dry_run": False},
            lines=[f"{streams} streams are closed until {until}."],
            as_json=options["as_json"],
        )
