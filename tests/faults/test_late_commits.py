"""Journals that commit late, and transactions that stay open (ledger faults 13, 21, 23 and 30)."""

import contextlib
import itertools
import threading
import time
from collections import defaultdict
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from billing.domain import accounts
from billing.selectors.balances import BalanceAt, balance_at, balance_of
from billing.services import append_journal
from billing.services.append_journal import append, append_in_transaction
from billing.services.exports import ledger_lines
from billing.services.verification import verify_ledger
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger

pytestmark = pytest.mark.slow
KEY, STREAM, SEQUENCE = 4, 0, 1


class OpenTransaction:
    """A thread that appends inside a transaction and keeps it open until it is told how to end."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._is_written, self._may_end = threading.Event(), threading.Event()
        self._commits = False
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "OpenTransaction":
        self._thread.start()
        assert self._is_written.wait(10)
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end(commits=False)

    def end(self, *, commits: bool) -> None:
        self._commits = self._commits or commits
        self._may_end.set()
        self._thread.join(10)

    def _work(self) -> None:
        with transaction.atomic():
            append_in_transaction([ledger.suspense_journal(key=self._key)])
            self._is_written.set()
            self._may_end.wait(20)
            transaction.set_rollback(not self._commits)
        connection.close()


def exported() -> dict[int, list[tuple[int, str]]]:
    """(sequence, key) of every journal with postings, by stream, in the order of the export."""
    streams: dict[int, dict[int, str]] = defaultdict(dict)
    for line in ledger_lines():
        streams[line[STREAM]][line[SEQUENCE]] = line[KEY]
    return {stream: list(journals.items()) for stream, journals in streams.items()}


def test_a_journal_that_commits_late_is_neither_lost_nor_leaves_a_gap(own_ledger: OwnLedger) -> None:
    append([ledger.suspense_journal()])  # opens the accounts, for which others would wait
    with OpenTransaction("never") as dropped:
        append([ledger.suspense_journal(key="first")])
        dropped.end(commits=False)
    with OpenTransaction("late") as late:
        append([ledger.suspense_journal(key="early")])
        read_before = exported()
        late.end(commits=True)

    read_after = exported()

    keys = {key for journals in read_after.values() for _, key in journals}
    assert {"first", "early", "late"} <= keys
    assert "never" not in keys
    assert "late" not in {key for journals in read_before.values() for _, key in journals}
    for stream, journals in read_after.items():
        sequences = [sequence for sequence, _ in journals]
        assert sequences == list(range(1, len(sequences) + 1))
        # Whoever read up to a sequence finds everything later behind it.
        assert journals[: len(read_before.get(stream, []))] == read_before.get(stream, [])
    assert verify_ledger().is_clean


def test_the_first_append_in_a_transaction_stops_no_writer(own_ledger: OwnLedger) -> None:
    for place in range(append_journal.INLINE_STREAMS + 1):
        append([ledger.suspense_journal(key=f"before-{place}")])
    with contextlib.ExitStack() as opened:
        for place in range(append_journal.INLINE_STREAMS):
            opened.enter_context(OpenTransaction(f"open-{place}"))
        started = time.monotonic()
        [result] = append([ledger.suspense_journal()])
        seconds = time.monotonic() - started

    assert (result.status, result.stream) == ("ok", 0)
    assert seconds < 5  # the others stay open until the test ends
    assert ledger.one("SELECT count(*) FROM billing.stream WHERE lane = 'inline'") == (append_journal.INLINE_STREAMS,)
    assert verify_ledger().is_clean


def test_time_gone_back_changes_no_order(own_ledger: OwnLedger) -> None:
    append([ledger.suspense_journal(key="before")])
    own_ledger.tamper("UPDATE billing.stream SET last_recorded_at = clock_timestamp() + interval '1 hour' WHERE id = 0")

    [result] = append([ledger.suspense_journal(key="after the clock went back")])

    times = [
        row[0] for row in ledger.rows("SELECT recorded_at FROM billing.journal WHERE stream = 0 ORDER BY sequence")
    ]
    assert result.status == "ok"
    assert all(first <= second for first, second in itertools.pairwise(times))
    assert times[-1] > timezone.now() + timedelta(minutes=59)
    assert verify_ledger().is_clean


def test_an_open_transaction_holds_no_balance_back_and_makes_its_past_provisional(
    own_ledger: OwnLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Also for a reader who takes every transaction to be short.
    monkeypatch.setattr("billing.selectors.balances.LONGEST_TRANSACTION", timedelta(0))
    account_id = ledger.prepaid_account(1_000)
    before = timezone.now()
    with OpenTransaction("open") as opened:
        meanwhile = timezone.now()
        append([ledger.reserve_journal(account_id, 300)])

        assert balance_of(accounts.available(account_id), accounts.PREPAID) == 700
        assert balance_at("system:suspense", ledger.USDC, recorded_at=meanwhile) == BalanceAt(0, is_provisional=True)
        assert balance_at("system:suspense", ledger.USDC, recorded_at=before) == BalanceAt(0, is_provisional=False)
        opened.end(commits=True)

    assert balance_at("system:suspense", ledger.USDC, recorded_at=meanwhile) == BalanceAt(5, is_provisional=False)
    assert verify_ledger().is_clean


def test_no_table_of_the_ledger_has_parts_that_could_be_written_directly(own_ledger: OwnLedger) -> None:
    parts = ledger.rows(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'billing'::regnamespace"
        " AND (c.relkind = 'p' OR c.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid"
        " AND c.relkind = 'r'))"
    )

    assert parts == []


def test_a_row_smuggled_into_a_child_table_is_found_by_the_proof(own_ledger: OwnLedger) -> None:
    append([ledger.suspense_journal()])
    with own_ledger.superuser() as superuser:
        superuser.execute("CREATE TABLE public.more_postings () INHERITS (billing.posting)")
        superuser.execute(
            "INSERT INTO public.more_postings SELECT journal_id, 50::smallint, account_id, shard, version + 1, 777,"
            " balance_after + 777 FROM ONLY billing.posting WHERE line = 1"
        )
        superuser.execute("GRANT SELECT ON public.more_postings TO loa_app")

    findings = {finding.check: finding.where for finding in verify_ledger().findings}

    assert findings["guards"] == "billing.posting"
    assert {"streams", "balances"} <= set(findings)
