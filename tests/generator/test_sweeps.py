"""On big tables every sweep finds what is due by index, also when nothing is, and keeps up with what a run may take."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from billing.services.steps import while_full
from tests.generator.plans import BIG_TABLES, faults, nodes
from tests.generator.sweeping import DUE, SWEEPS, let_all_gas_be_booked, name_of
from waitlist.models import Entry, Mail
from waitlist.services import retention as waitlist_retention
from x402.models import Payment, StoredAnswer
from x402.services import answers, retention

# Announced once each: the query looks at every note of the coming day, whatever the table holds besides.
A_DAY_OF_ROWS = frozenset({"notes about to expire"})

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@contextmanager
def tables_read_whole() -> Iterator[list[str]]:
    """The big tables that a statement of the block reads in order, with the statement; plans only, run once each."""
    found: list[str] = []

    def judge(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if isinstance(sql, str) and sql.lstrip().upper().startswith(("SELECT", "WITH", "UPDATE", "DELETE")):
            with connection.connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                [answer] = cursor.fetchone()
            plan = json.loads(answer) if isinstance(answer, str) else answer
            found.extend(
                f"{node['Relation Name']}: {' '.join(sql.split())[:200]}"
                for node in nodes(plan[0]["Plan"])
                if node["Node Type"] == "Seq Scan" and node.get("Relation Name") in BIG_TABLES
            )
        return execute(sql, params, many, context)

    with connection.execute_wrapper(judge):
        yield found


@pytest.mark.parametrize("sweep", SWEEPS, ids=name_of)
def test_a_sweep_reads_no_big_table_whole(books: str, sweep: Callable[[], Any]) -> None:
    let_all_gas_be_booked()

    with tables_read_whole() as found:
        sweep()

    assert found == []


@pytest.mark.parametrize("what", DUE)
def test_what_is_due_is_found_without_reading_the_rest(books: str, what: str) -> None:
    if what in A_DAY_OF_ROWS:
        # Whole tables are cheap to read at this size; whether an index could serve shows when they cost.
        with connection.cursor() as cursor:
            cursor.execute("SET enable_seqscan = off")
    found = [sentence for sentence in faults(*DUE[what]) if sentence != "it counts rows"]

    if what in A_DAY_OF_ROWS:
        with connection.cursor() as cursor:
            cursor.execute("RESET enable_seqscan")
        found = [sentence for sentence in found if "reads all" in sentence]
    assert found == []


def test_bodies_of_old_answers_go_and_what_belongs_to_the_receipt_stays(books: str) -> None:
    kept = StoredAnswer.objects.filter(body_encrypted__isnull=False)
    one = kept.order_by("-created_at")[:1].get()
    count, rows = kept.count(), StoredAnswer.objects.count()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE x402_storedanswer SET created_at = created_at - interval '3 days' WHERE id <> %s", [one.pk]
        )

    forgotten = while_full(retention.forget_answers, full=retention.FORGOTTEN_AT_ONCE, seconds=60)

    assert count > 100
    assert forgotten == count - 1
    assert list(kept.values_list("pk", flat=True)) == [one.pk]
    assert StoredAnswer.objects.count() == rows
    other = StoredAnswer.objects.exclude(pk=one.pk).order_by("-created_at")[:1].get()
    stored = answers.answer_of(Payment.objects.get(pk=other.payment_id))
    assert stored is not None
    assert (stored.status, stored.body) == (200, None)


def test_an_answer_whose_authorization_could_be_sent_again_keeps_its_body(books: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE x402_storedanswer SET created_at = created_at - interval '3 days'")
        cursor.execute(
            "UPDATE x402_payment SET valid_before = extract(epoch FROM clock_timestamp())::bigint + 900"
            " WHERE id IN (SELECT payment_id FROM x402_storedanswer WHERE body_encrypted IS NOT NULL)"
        )

    assert retention.forget_answers() == 0


def test_the_waitlist_forgets_by_age_and_nobody_who_waits(books: str) -> None:
    waiting = Entry.objects.filter(state="waiting").count()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE waitlist_entry SET created_at = created_at - interval '40 days' WHERE state = 'pending'")
        cursor.execute("UPDATE waitlist_entry SET left_at = left_at - interval '40 days' WHERE state = 'left'")
        cursor.execute("UPDATE waitlist_mail SET created_at = created_at - interval '40 days'")

    forgotten = waitlist_retention.forget_the_old()

    assert forgotten["unconfirmed"] > 100
    assert forgotten["left"] > 50
    assert forgotten["mails"] > 1_000
    assert Entry.objects.filter(state="waiting").count() == waiting
    assert Entry.objects.filter(state__in=["pending", "left"]).count() == 0
    assert set(Mail.objects.values_list("state", flat=True).distinct()) <= {"queued", "sent"}
