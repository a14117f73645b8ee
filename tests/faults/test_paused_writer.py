"""A writer that was paused past its lease (faults row 23, rule R8): both gates, each alone."""

import signal
import time
from collections.abc import Callable

import pytest
import redis

from billing.locks import fencing
from billing.locks.stream_rows import stream_row
from billing.services.verification import verify_ledger
from loa_site.local.redis import Redis
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger
from tests.faults.conftest import Appender

pytestmark = pytest.mark.slow
LEASE = 1
PAUSE = 1.5 * LEASE


def journals_of_stream(stream: int) -> int:
    return ledger.one("SELECT count(*) FROM billing.journal WHERE stream = %s", stream)[0]


@pytest.mark.parametrize("has_redis", [True, False], ids=["with redis", "on rows alone"])
def test_a_batch_issued_before_the_pause_is_refused_by_the_row(
    own_ledger: OwnLedger, own_redis: Redis, appender: Callable[..., Appender], has_redis: bool
) -> None:
    first = appender(own_redis.url if has_redis else "", lease_seconds=LEASE)
    assert first.ask("append", count=3)["outcomes"]
    first.tell("stop_before_send")
    ticket = first.hear()["ticket"]
    time.sleep(PAUSE)

    second = appender(own_redis.url if has_redis else "", lease_seconds=30)
    taken = second.ask("lease")
    before = journals_of_stream(0)
    first.signal(signal.SIGCONT)
    answer = first.hear()

    assert ticket["stream"] == taken["stream"] == 0
    assert answer["outcome"] == ["stale_token", None]
    assert ledger.journal_count(answer["key"]) == 0
    assert journals_of_stream(0) == before
    assert stream_row(0).holder == taken["holder"]
    assert verify_ledger().is_clean


def test_the_row_refuses_the_old_writer_also_when_its_token_is_the_higher_one(
    own_ledger: OwnLedger, appender: Callable[..., Appender]
) -> None:
    first = appender("", lease_seconds=LEASE)
    first.ask("append", count=1)
    first.tell("stop_before_send")
    ticket = first.hear()["ticket"]
    time.sleep(PAUSE)
    taken = appender("", lease_seconds=30).ask("lease")
    own_ledger.tamper("UPDATE billing.stream SET last_token = %s WHERE id = 0", ticket["token"] - 1)

    first.signal(signal.SIGCONT)

    assert first.hear()["outcome"] == ["stale_token", None]
    assert stream_row(0).holder == taken["holder"]


def test_a_writer_paused_before_it_asks_for_a_token_gets_none_for_the_taken_stream(
    own_ledger: OwnLedger, own_redis: Redis, appender: Callable[..., Appender]
) -> None:
    first = appender(own_redis.url, lease_seconds=LEASE)
    first.ask("append", count=3)
    old_holder, last_token = stream_row(0).holder, stream_row(0).last_token
    first.tell("stop_before_issue")
    first.hear()
    time.sleep(PAUSE)
    taken = appender(own_redis.url, lease_seconds=30).ask("lease")
    before = journals_of_stream(0)

    client = redis.Redis.from_url(own_redis.url)
    issued = fencing.issue_token(client, stream=0, holder=old_holder, floor=last_token)
    verdict = fencing.validate_and_advance_fencing_token(last_token)
    first.signal(signal.SIGCONT)
    answer = first.hear()

    assert (issued.token, issued.holder) == (None, taken["holder"])
    assert verdict == "STALE"
    assert answer["outcome"][0] == "ok"
    assert answer["outcome"][1] != 0
    assert ledger.rows("SELECT id FROM billing.journal WHERE stream = 0 AND key = %s", answer["key"]) == []
    # What stream 0 got meanwhile is the birth of the stream that the first writer leased instead.
    born = ledger.rows("SELECT kind FROM billing.journal WHERE stream = 0 ORDER BY sequence OFFSET %s", before)
    assert {kind for (kind,) in born} <= {"stream_opened"}
    assert verify_ledger().is_clean
