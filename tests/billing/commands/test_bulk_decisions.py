"""`dlq_retry` and `dlq_void` for all letters of a kind: tried first, then asked once, carried out in parts."""

import io
import json
from collections.abc import Iterator

import pytest
from django.core.management import CommandError, call_command

from billing.models import BulkDecision
from billing.services import bulk_decisions, dead_letters
from tests.factories import ledger

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_queues() -> Iterator[None]:
    put_away = "UPDATE billing.dead_letter SET state = 'done' WHERE state IN ('pending', 'poisoned') RETURNING id"
    ledger.rows(put_away)
    bulk_decisions.run_open()
    yield
    ledger.rows(put_away)


def run(command: str, *arguments: str) -> dict:
    out = io.StringIO()
    call_command(command, *arguments, "--json", "--by", "ada", "--reason", "the outage is over", stdout=out)
    return json.loads(out.getvalue())


def poisoned(count: int) -> list[str]:
    letters = [
        dead_letters.enqueue(
            queue="finalize", subject_id=ledger.unique("ent"), reason="x", payload={"schema_version": 1}
        )
        for _ in range(count)
    ]
    ledger.rows(
        "UPDATE billing.dead_letter SET state = 'poisoned', attempt = 5 WHERE id = ANY (%s) RETURNING id", letters
    )
    return letters


def test_a_trial_run_counts_and_decides_nothing() -> None:
    letters, before = poisoned(7), BulkDecision.objects.count()

    assert run("dlq_retry", "--all", "--dry-run") == {"decision": "", "letters": 7, "dry_run": True}

    assert BulkDecision.objects.count() == before
    assert {dead_letters.letter_of(one).state for one in letters} == {"poisoned"}


@pytest.mark.parametrize(("command", "state"), [("dlq_retry", "pending"), ("dlq_void", "voided")])
def test_all_poisoned_letters_are_decided_about_in_the_order_they_were_written(command: str, state: str) -> None:
    letters = poisoned(7)

    answer = run(command, "--all", "--queue", "finalize", "--state", "poisoned")
    bulk_decisions.run_open()

    assert answer["letters"] == 7
    decided = [dead_letters.letter_of(one) for one in letters]
    assert {(one.state, one.resolved_by, one.resolution) for one in decided} == {(state, "ada", "the outage is over")}
    assert BulkDecision.objects.get(pk=answer["decision"]).decided == 7


def test_letters_written_after_the_question_are_left_alone() -> None:
    run("dlq_void", "--all")
    [later] = poisoned(1)

    bulk_decisions.run_open()

    assert dead_letters.letter_of(later).state == "poisoned"


def test_ids_and_all_together_or_neither_is_refused() -> None:
    with pytest.raises(CommandError):
        run("dlq_retry", "--all", "dlq_1")
    with pytest.raises(CommandError):
        run("dlq_retry")
