"""Races on real connections: the last unit, one key on two streams, swapped orders, concurrent ends of one hold."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection, transaction

from billing.domain import accounts, errors
from billing.services import reservations
from billing.services.append_journal import append, append_in_transaction
from billing.services.events import close_period
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.ledger import prepaid_account, reserve_journal, suspense_journal, unique

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def _at_once(tasks: list[Callable[[], object]]) -> list[object]:
    """Run every task in a thread with a connection of its own, all starting together; their outcomes in order."""
    barrier = threading.Barrier(len(tasks))
    outcomes: list[object] = [None] * len(tasks)

    def run(place: int) -> None:
        barrier.wait(10)
        try:
            outcomes[place] = tasks[place]()
        except (errors.BillingError, OperationalError) as error:
            outcomes[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(tasks))]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    return outcomes


def _on_a_stream_of_its_own(journals) -> list[str]:
    """Write a batch in the in-transaction lane, again when it lost a race, as the rule says: at most three times."""
    for _ in range(3):
        try:
            with transaction.atomic():
                return ledger.statuses(append_in_transaction(journals))
        except OperationalError as error:
            if error.__cause__.sqlstate != "40001":
                raise
    raise AssertionError("lost three races")


@pytest.mark.parametrize("through", ["one stream", "many streams"])
def test_of_fifty_who_want_the_last_unit_exactly_one_gets_it(through):
    account_id = prepaid_account(1)
    if through == "one stream":
        tasks = [lambda: ledger.statuses(append([reserve_journal(account_id, 1)])) for _ in range(50)]
    else:
        tasks = [lambda: _on_a_stream_of_its_own([reserve_journal(account_id, 1)]) for _ in range(12)]

    outcomes = _at_once(tasks)

    assert Counter(outcome[0] for outcome in outcomes) == {"ok": 1, "insufficient_funds": len(tasks) - 1}
    assert ledger.balance(accounts.available(account_id), "MicroUSD") == 0


def test_one_key_on_two_streams_is_one_journal():
    for _ in range(25):
        journal = suspense_journal()

        outcomes = _at_once([lambda j=journal: _on_a_stream_of_its_own([j]) for _ in range(2)])

        assert sorted(outcome[0] for outcome in outcomes) == ["exists", "ok"]
        assert ledger.journal_count(journal.key) == 1


def test_swapped_keys_and_swapped_accounts_never_deadlock():
    owners = [prepaid_account(10_000) for _ in range(2)]
    for _ in range(25):
        pair = [suspense_journal(), suspense_journal()]
        moves = [reserve_journal(owner, 1) for owner in owners]

        outcomes = _at_once(
            [
                lambda p=pair, m=moves: _on_a_stream_of_its_own([*p, *m]),
                lambda p=pair, m=moves: _on_a_stream_of_its_own([*reversed(m), *reversed(p)]),
            ]
        )

        assert sorted(outcomes) == [["exists"] * 4, ["ok"] * 4]


def test_a_hold_ends_once_however_many_end_it():
    for _ in range(10):
        account_id, entry_id = prepaid_account(100), new_id("ent")
        hold = {"entry_id": entry_id, "account_id": account_id, "correlation_id": ""}
        reservations.reserve(amount_micro_usd=100, hold_seconds=0, **hold)

        _at_once(
            [
                lambda h=hold: reservations.commit(held_micro_usd=100, cost_micro_usd=40, **h),
                lambda h=hold: reservations.release(held_micro_usd=100, reason="user_cancel", **h),
                reservations.release_expired,
            ]
        )

        state, available = ledger.entry_state(entry_id), ledger.balance(accounts.available(account_id), "MicroUSD")
        assert (state, available) in [("FINALIZE_ACKED", 60), ("RELEASED", 100)]
        assert ledger.balance(accounts.held(account_id), "MicroUSD") == 0


def test_accounts_opened_by_many_at_once_are_opened_once():
    for _ in range(5):
        account_ids = [new_id("acc") for _ in range(4)]
        tasks = [
            lambda ids=order: _on_a_stream_of_its_own([reserve_journal(one, 1) for one in ids])
            for order in (account_ids, list(reversed(account_ids)))
        ]

        outcomes = _at_once(tasks)

        assert outcomes == [["insufficient_funds"] * 4] * 2
        names = [accounts.available(one) for one in account_ids]
        assert ledger.one("SELECT count(*) FROM billing.account WHERE name = ANY (%s)", names) == (4,)


def test_a_batch_in_flight_cannot_post_into_a_period_that_closes_meanwhile():
    until = ledger.next_period_end()
    entered, closed = threading.Event(), threading.Event()

    def write_slowly():
        with transaction.atomic():
            [result] = append_in_transaction([suspense_journal(effective_at=until)])
            entered.set()
            assert not closed.wait(0.3), "the period closed over an open batch"
        return result.status

    def close():
        entered.wait(10)
        streams = close_period(until=until, closed_by="ada")
        closed.set()
        return streams

    written, _ = _at_once([write_slowly, close])
    [late] = append([suspense_journal(effective_at=until)])

    assert (written, late.status) == ("ok", "period_closed")


def test_a_broken_connection_is_replaced_and_the_key_tells_what_became_of_the_journal(superuser_url):
    import psycopg

    from billing.services import append_journal

    append([suspense_journal()])
    key = unique()
    pid = append_journal._ledger().connection._connection.info.backend_pid
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    [result] = append([suspense_journal(key=key)])

    assert result.status == "ok"
    assert ledger.journal_count(key) == 1


@pytest.fixture
def superuser_url(settings):
    return settings.TEST_ADMIN_DATABASE_URL.rpartition("/")[0] + f"/{connection.settings_dict['NAME']}"
