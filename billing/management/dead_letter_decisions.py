"""What dlq_retry and dlq_void have in common: letters by id or all of a kind, a person, a reason, and a trial run."""

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError

from billing.domain.errors import WrongState
from billing.management.output import ChangingCommand
from billing.services import bulk_decisions
from billing.services.bulk_decisions import Selection
from billing.services.dead_letters import DeadLetter, letter_of


class DecisionCommand(ChangingCommand):
    """A decision about dead letters by a person."""

    decide: Callable[..., DeadLetter]
    act: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which letters, who decides, and why."""
        super().add_arguments(parser)
        parser.add_argument("ids", nargs="*", metavar="ID")
        parser.add_argument("--all", action="store_true", dest="is_all", help="every letter of --queue in --state")
        parser.add_argument("--queue", choices=("settlement", "finalize"), default="finalize", help="with --all")
        parser.add_argument("--state", choices=("pending", "poisoned"), default="poisoned", help="with --all")
        parser.add_argument("--by", required=True, help="who decides")
        parser.add_argument("--reason", required=True, help="why")

    def run(self, options: dict[str, Any]) -> None:
        """Decide about each letter in turn; a refused one ends the command, those before it stay decided."""
        if options["is_all"] == bool(options["ids"]):
            raise CommandError("Name letters by their ids, or all of a kind by --all.")
        if options["is_all"]:
            self._decide_all(options)
            return
        decided = []
        for letter_id in options["ids"]:
            if options["is_dry_run"]:
                letter = letter_of(letter_id)
                if letter is None or letter.state not in ("pending", "poisoned"):
                    raise WrongState(dead_letter_id=letter_id, detail="it is not waiting and not poisoned")
            else:
                letter = type(self).decide(letter_id, by=options["by"], reason=options["reason"])
            decided.append({"id": letter.id, "state": letter.state, "queue": letter.queue})
        facts = {"dead_letters": decided, "dry_run": options["is_dry_run"]}
        self.answer(facts, lines=[f"{one['id']}: {one['state']}" for one in decided], as_json=options["as_json"])

    def _decide_all(self, options: dict[str, Any]) -> None:
        """Write one decision, which a worker carries out in parts, oldest letter first."""
        selection = Selection(options["queue"], options["state"])
        count = bulk_decisions.count_of(selection)
        decision_id = ""
        if not options["is_dry_run"]:
            decision_id = bulk_decisions.ask(selection, act=self.act, by=options["by"], reason=options["reason"]).pk
        facts = {"decision": decision_id, "letters": count, "dry_run": options["is_dry_run"]}
        line = f"{count} letters of {selection.queue} are {selection.state}."
        done = f" {decision_id} is carried out by a worker." if decision_id else " Nothing was done."
        self.answer(facts, lines=[line + done], as_json=options["as_json"])
