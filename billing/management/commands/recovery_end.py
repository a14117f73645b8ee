"""`manage.py recovery_end`: report what is missing, match it with the chain, and let money move again (rule R10)."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from billing.management.output import ChangingCommand
from billing.services import recovery
from billing.services.recovery_report import Part, match, report


class Command(ChangingCommand):
    help = "Without --dry-run it books what the chain proves and then ends the recovery, unless something forbids it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who decides, why, and what they know about."""
        super().add_arguments(parser)
        parser.add_argument("--by", default="", help="who ends the recovery")
        parser.add_argument("--reason", default="", help="why the database may be trusted now")
        parser.add_argument(
            "--accept",
            action="store_true",
            dest="accepts_obstacles",
            help="end it although the report names things that nobody has put right",
        )

    def run(self, options: dict[str, Any]) -> None:
        """Report; with --dry-run that is all."""
        as_json = options["as_json"]
        under_way = recovery.open_recovery()
        if under_way is None:
            self.answer({"under_way": None}, lines=["No recovery is under way."], as_json=as_json)
            return
        if options["is_dry_run"]:
            self._tell(under_way, report(), as_json=as_json, ended=None)
            return
        if not options["by"] or not options["reason"]:
            raise CommandError("Name who ends the recovery and why: --by NAME --reason TEXT, or look with --dry-run.")
        parts = match()
        if _obstacles(parts) and not options["accepts_obstacles"]:
            self._tell(under_way, parts, as_json=as_json, ended=None)
            raise CommandError("Recovery goes on: put right what is named above, or accept it with --accept.")
        kept = json.dumps(_facts(parts), default=str)
        ended = recovery.end_recovery(ended_by=options["by"], reason=options["reason"], report=kept)
        self._tell(under_way, parts, as_json=as_json, ended=ended)

    def _tell(self, under_way: Any, parts: dict[str, Part], *, as_json: bool, ended: str | None) -> None:
        lines = [f"Recovery {under_way['id']} since {under_way['entered_at']}: {', '.join(under_way['reasons'])}."]
        lines += [line for part in parts.values() for line in part.lines]
        lines += [f"This forbids an end: {obstacle}" for obstacle in _obstacles(parts)]
        if ended:
            lines.append("Recovery has ended; payments are taken again.")
        facts = {"under_way": dict(under_way), "report": _facts(parts), "obstacles": _obstacles(parts), "ended": ended}
        self.answer(facts, lines=lines, as_json=as_json)


def _facts(parts: dict[str, Part]) -> dict[str, Any]:
    return {name: dict(part.facts) for name, part in parts.items()}


def _obstacles(parts: dict[str, Part]) -> list[str]:
    return [obstacle for part in parts.values() for obstacle in part.obstacles]
