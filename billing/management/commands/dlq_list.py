"""`manage.py dlq_list`: dead letters, oldest first."""

from argparse import ArgumentParser
from typing import Any

from billing.management.output import OperatorCommand
from billing.services.dead_letters import DeadLetter, list_letters

STATES = ("pending", "poisoned", "done", "voided")


class Command(OperatorCommand):
    help = "List dead letters: those that wait and those that are poisoned, unless other states are named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which letters."""
        super().add_arguments(parser)
        parser.add_argument("--queue", choices=("settlement", "finalize"), default="")
        parser.add_argument("--state", choices=STATES, action="append", default=[], dest="states")
        parser.add_argument("--limit", type=int, default=100)

    def run(self, options: dict[str, Any]) -> None:
        """List them."""
        limit = max(1, min(options["limit"], 10_000))
        states = options["states"] or ["pending", "poisoned"]
        letters = list_letters(queue=options["queue"], states=states, limit=limit)
        facts = {"dead_letters": [facts_of(letter) for letter in letters]}
        lines = [
            f"{letter.id}  {letter.queue:<10}  {letter.state:<8}  attempt {letter.attempt}  {letter.subject_id}"
            f"  next {letter.next_retry_at:%Y-%m-%d %H:%M:%S}  {letter.last_error or letter.reason}"
            for letter in letters
        ]
        self.answer(facts, lines=lines or ["No dead letters."], as_json=options["as_json"])


def facts_of(letter: DeadLetter) -> dict[str, Any]:
    """A letter for programs; the payload is left out, because it may hold what only its payer may see."""
    return {
        "id": letter.id,
        "queue": letter.queue,
        "subject_id": letter.subject_id,
        "entry_id": letter.entry_id,
        "state": letter.state,
        "is_parked": letter.is_parked,
        "attempt": letter.attempt,
        "reason": letter.reason,
        "last_error": letter.last_error,
        "correlation_id": letter.correlation_id,
        "created_at": letter.created_at,
        "next_retry_at": letter.next_retry_at,
        "escalated_at": letter.escalated_at,
        "resolution": letter.resolution,
        "resolved_by": letter.resolved_by,
    }
