"""Plan 11.4, criterion by criterion, on a real server; and that the cache never decides."""

import pytest
import redis
from django.conf import LazySettings

from billing.domain.errors import CreditNoteCapExceeded, CreditNoteDeltaExceeded
from billing.services import credit_cache
from billing.services.finalization import finalize
from tests.factories import ledger

WALLET = "0x" + "AB" * 20
KEY = f"x402:credit:{WALLET.lower()}:balance"
CAP = 1_000_000_000_000
WEEK = 7 * 24 * 3600


@pytest.fixture(autouse=True)
def _one_network(redis_client: redis.Redis, settings: LazySettings) -> None:
    """The denomination of the factories is the default network's first asset."""
    assets = {"usdc": {"address": ledger.ASSET}}
    settings.LOA = {
        **settings.LOA,
        "DEFAULT_NETWORK": ledger.NETWORK,
        "NETWORKS": {ledger.NETWORK: {"assets": assets}},
    }


def add(delta: object) -> int | None:
    return credit_cache.add_issued_note(WALLET, delta, denomination=ledger.USDC)


def test_a_normal_delta_raises_the_balance_and_sets_its_lifetime(redis_client: redis.Redis) -> None:
    assert add(5_000_000) == 5_000_000

    assert redis_client.get(KEY) == b"5000000"
    assert WEEK - 5 < redis_client.ttl(KEY) <= WEEK


def test_several_notes_accumulate_and_each_renews_the_lifetime(redis_client: redis.Redis) -> None:
    add(5_000_000)
    redis_client.expire(KEY, 10)

    assert [add(1), add(2_000_000), add(30)] == [5_000_001, 7_000_001, 7_000_031]

    assert redis_client.get(KEY) == b"7000031"
    assert redis_client.ttl(KEY) > WEEK - 5


@pytest.mark.parametrize("delta", [2**53, 2**63, 10**30, 0, -1, True, 1.0, "5", None])
def test_a_delta_beyond_the_safe_integers_never_reaches_redis(redis_client: redis.Redis, delta: object) -> None:
    with pytest.raises(CreditNoteDeltaExceeded):
        add(delta)

    assert redis_client.get(KEY) is None


def test_a_balance_beyond_the_cap_is_refused_with_the_facts_and_unchanged(redis_client: redis.Redis) -> None:
    redis_client.set(KEY, str(CAP - 10))

    with pytest.raises(CreditNoteCapExceeded) as refusal:
        add(11)

    assert refusal.value.code == "credit_note_cap_exceeded"
    assert refusal.value.facts == {"balance": CAP - 10, "delta": 11, "cap": CAP}
    assert redis_client.get(KEY) == str(CAP - 10).encode()


def test_a_balance_exactly_at_the_cap_is_allowed(redis_client: redis.Redis) -> None:
    redis_client.set(KEY, str(CAP - 10))

    assert add(10) == CAP


def test_the_script_itself_answers_cap_exceeded(redis_client: redis.Redis) -> None:
    redis_client.set(KEY, "100")

    answers = [
        redis_client.eval(credit_cache.CREDIT_NOTE_ISSUE.text, 1, KEY, delta, 150, WEEK) for delta in ("51", "50")
    ]

    assert answers == [b"CAP_EXCEEDED", b"150"]


@pytest.mark.parametrize("junk", ["abc", "1e3", " 7 ", "-5", "0x10", "99999999999999999999"])
def test_a_value_that_is_no_amount_counts_as_missing(redis_client: redis.Redis, junk: str) -> None:
    redis_client.set(KEY, junk)

    assert add(7) == 7
    assert redis_client.get(KEY) == b"7"


def test_without_redis_nothing_is_cached_and_nothing_fails(settings: LazySettings) -> None:
    for url in ("", "redis://127.0.0.1:1/0"):
        settings.LOA = {**settings.LOA, "REDIS_URL": url}
        assert add(5) is None
        credit_cache.forget(WALLET, denomination=ledger.USDC)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("payment_table")
def test_a_flushed_cache_shows_the_ledgers_truth_again(redis_client: redis.Redis) -> None:
    call = ledger.PaidCall(amount=2_000).settle()
    finalize(payment=call.request(700))
    shown = [credit_cache.displayed_credit_of(call.wallet, denomination=ledger.USDC)]

    redis_client.flushall()
    shown.append(credit_cache.displayed_credit_of(call.wallet, denomination=ledger.USDC))

    assert shown == [1_300, 1_300]
    assert redis_client.get(f"x402:credit:{call.wallet}:balance") == b"1300"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("payment_table")
def test_the_ledger_gives_change_whatever_the_cache_says(redis_client: redis.Redis) -> None:
    call = ledger.PaidCall(amount=2_000).settle()
    redis_client.set(f"x402:credit:{call.wallet}:balance", str(CAP))

    booked = finalize(payment=call.request(700))

    assert booked.credit_note_micro_usdc == 1_300
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]
