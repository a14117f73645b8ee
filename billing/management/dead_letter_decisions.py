"""What dlq_retry and dlq_void have in common: letters by id, a person, a reason, and a trial run."""

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from billing.domain.errors import WrongState
from billing.management.output import ChangingCommand
from billing.services.dead_letters import DeadLetter, letter_of


class DecisionCommand(ChangingCommand):
    """A decision about dead letters by a person."""

    decide: Callable[..., DeadLetter]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which letters, who decides, and why."""
        super().add_arguments(parser)
        parser.add_argument("ids", nargs="+", metavar="ID")
        parser.add_argument("--by", required=True, help="who decides")
        parser.add_argument("--reason", required=True, help="why")

    def run(self, options: dict[str, Any]) -> None:
        """Decide about each letter in turn; a refused one ends the command, those before it stay decided."""
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
