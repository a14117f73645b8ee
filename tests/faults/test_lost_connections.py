"""The way to Postgres breaks: answers lost after COMMIT, backends terminated in a loop, the server gone for a while.

Ledger faults 16 and 19; faults rows 6, 9 and 10.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.db import connections
from django.test import Client

from billing.domain.errors import LedgerUnavailable, OutcomeUnknown, Retryable
from billing.services import append_journal, ledger_connection
from billing.services.append_journal import append
from billing.services.verification import verify_ledger
from loa_site.health import parts
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger, own_ledger_of
from tests.faults.chaos_proxy import ChaosProxy, proxy_to

pytestmark = pytest.mark.slow

INJECTION = """
CREATE SEQUENCE public.injected;
CREATE FUNCTION public.inject() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('public.injected') <= {times} THEN
        RAISE EXCEPTION 'injected' USING ERRCODE = '{state}';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER injected AFTER INSERT ON billing.posting FOR EACH STATEMENT EXECUTE FUNCTION public.inject();
ALTER TABLE billing.posting ENABLE ALWAYS TRIGGER injected;
"""


@pytest.fixture
def proxy(own_database: dict[str, str], transactional_db: None) -> Iterator[ChaosProxy]:
    """A proxy through which the code under test reaches a ledger that nobody else uses."""
    port = urlsplit(own_database["DATABASE_URL"]).port
    with proxy_to(port) as opened:
        through = {
            name: url.replace(f":{port}/", f":{opened.port}/") if name == "DATABASE_URL" else url
            for name, url in own_database.items()
        }
        with own_ledger_of(through):
            yield opened


def append_patiently(key: str) -> str:
    """Append a deposit, asking again by its key while the outcome is open."""
    for _ in range(200):
        try:
            [result] = append([ledger.suspense_journal(key=key)])
        except Retryable:
            time.sleep(0.02)
            continue
        return result.status.value
    return "gave up"


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
def test_a_batch_that_loses_its_race_is_sent_again_three_times_at_most(own_ledger: OwnLedger, state: str) -> None:
    append([ledger.suspense_journal()])
    with own_ledger.superuser() as superuser:
        superuser.execute(INJECTION.format(times=3, state=state))

    [won] = append([ledger.suspense_journal(key="won-in-the-end")])
    with own_ledger.superuser() as superuser:
        superuser.execute("ALTER SEQUENCE public.injected MINVALUE -100 RESTART WITH -96")
        with pytest.raises(LedgerUnavailable) as lost:
            append([ledger.suspense_journal(key="lost-for-now")])
        [(tries,)] = superuser.execute("SELECT last_value + 97 FROM public.injected").fetchall()
        superuser.execute("DROP TRIGGER injected ON billing.posting")

    assert (won.status, lost.value.facts["sqlstate"], tries) == ("ok", state, 4)
    assert ledger.journal_count("lost-for-now") == 0
    assert append_patiently("lost-for-now") == "ok"
    assert ledger.balance("system:suspense") == 15
    assert verify_ledger().is_clean


def test_neighbours_of_a_journal_that_keeps_losing_are_written(own_ledger: OwnLedger) -> None:
    append([ledger.suspense_journal()])
    with own_ledger.superuser() as superuser:
        superuser.execute(INJECTION.format(times=4, state="40001"))

    results = append([ledger.suspense_journal(), ledger.suspense_journal()])

    assert ledger.statuses(results) == ["ok", "ok"]
    with own_ledger.superuser() as superuser:
        superuser.execute("DROP TRIGGER injected ON billing.posting")
    assert verify_ledger().is_clean


def test_an_answer_lost_after_commit_is_learned_by_asking_with_the_same_key(proxy: ChaosProxy) -> None:
    append([ledger.suspense_journal()])
    proxy.lose_next_answer()

    [result] = append([ledger.suspense_journal(key="answer-lost")])

    [(journal_id,)] = ledger.rows("SELECT id FROM billing.journal WHERE key = 'answer-lost'")
    assert proxy.lost_answers == 1
    assert (result.status, result.journal_id) == ("exists", journal_id)
    assert ledger.balance("system:suspense") == 10
    assert verify_ledger().is_clean


def test_a_server_that_falls_silent_does_not_hold_its_callers_for_ever(
    proxy: ChaosProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_connection, "CALL_SECONDS", 0.5)
    monkeypatch.setitem(ledger_connection.BOUNDS, "connect_timeout", 2)
    append([ledger.suspense_journal()])
    proxy.is_frozen = True
    started = time.monotonic()
    with pytest.raises(Retryable):
        append([ledger.suspense_journal(key="into-silence")])
    seconds = time.monotonic() - started
    proxy.is_frozen = False

    assert seconds < 10
    assert append_patiently("into-silence") == "ok"
    assert ledger.balance("system:suspense") == 10
    assert verify_ledger().is_clean


def test_backends_terminated_all_the_time_lose_and_double_nothing(own_ledger: OwnLedger) -> None:
    keys = [f"terminated-{place}" for place in range(800)]
    outcomes: dict[str, str] = {}
    is_over = threading.Event()
    terminated = [0]

    def work(share: list[str]) -> None:
        outcomes.update({key: append_patiently(key) for key in share})
        connections.close_all()

    def terminate() -> None:
        with own_ledger.superuser() as superuser:
            while not is_over.wait(0.03):
                terminated[0] += superuser.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = 'loa_app'"
                    " AND query LIKE '%%append_batch%%'",
                    [own_ledger.name],
                ).rowcount

    killer = threading.Thread(target=terminate)
    workers = [threading.Thread(target=work, args=(keys[place::8],)) for place in range(8)]
    for thread in (killer, *workers):
        thread.start()
    for worker in workers:
        worker.join(200)
    is_over.set()
    killer.join()

    assert terminated[0] >= 5
    assert set(outcomes) == set(keys)
    assert set(outcomes.values()) <= {"ok", "exists"}
    assert ledger.balance("system:suspense") == 5 * len(keys)
    assert Counter(
        key for (key,) in ledger.rows("SELECT key FROM billing.journal WHERE key LIKE 'terminated-%%'")
    ) == dict.fromkeys(keys, 1)
    assert verify_ledger().is_clean


def test_a_server_that_is_gone_for_a_while_costs_readiness_and_nothing_else(proxy: ChaosProxy, client: Client) -> None:
    append([ledger.suspense_journal(key="before")])
    parts.forget()
    assert client.get("/readyz").status_code == 200

    proxy.cut()
    connections.close_all()
    started = time.monotonic()
    with pytest.raises((LedgerUnavailable, OutcomeUnknown)):
        append([ledger.suspense_journal(key="while-it-is-gone")])
    seconds = time.monotonic() - started
    parts.forget()
    answers = client.get("/readyz"), client.get("/livez")
    proxy.mend()
    connections.close_all()
    parts.forget()

    assert [answer.status_code for answer in answers] == [503, 200]
    assert seconds < 5
    assert append_patiently("while-it-is-gone") == "ok"
    assert client.get("/readyz").status_code == 200
    assert ledger.balance("system:suspense") == 10
    assert append_journal._ledger().connection.is_broken() is False
