"""`manage.py staff_second_factor_reset USERNAME --by WHO --reason WHY`: for somebody who lost phone and codes."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from accounts.services import second_factor
from billing.management.output import ChangingCommand


class Command(ChangingCommand):
    help = "Forget a member of staff's second factor and recovery codes; they make a new one at their next sign-in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, who decides, and why."""
        super().add_arguments(parser)
        parser.add_argument("username")
        parser.add_argument("--by", required=True, help="who decides")
        parser.add_argument("--reason", required=True, help="why")

    def run(self, options: dict[str, Any]) -> None:
        """Remove it, or say that there is none."""
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no member of staff named {options['username']}.")
        had_one = second_factor.has_one(user)
        if not options["is_dry_run"]:
            second_factor.remove(user, by=options["by"], reason=options["reason"])
        facts = {"username": user.get_username(), "had_one": had_one, "dry_run": options["is_dry_run"]}
        words = "had a second factor" if had_one else "had no second factor"
        self.answer(facts, lines=[f"{user.get_username()} {words}."], as_json=options["as_json"])
