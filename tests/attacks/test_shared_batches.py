"""Rule R26: a payer whose account gets code after it was verified spoils nobody's payment but its own."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from tests.attacks.score import NETWORK, Attack
from tests.attacks.tools import RelayerHold, again, in_background, row_of, until
from tests.x402.buyer import Buyer, terms_of
from x402.chain.network_settings import networks
from x402.facilitators import due_payments
from x402.facilitators.direct import GAS_MARGIN_PERCENT, GAS_PER_TRANSACTION
from x402.models import ChainTransaction, Payment, SettlementAttempt

pytestmark = [pytest.mark.urls("tests.attacks.shop"), pytest.mark.slow]

BURNS_ALL_GAS = "0x5b600056"  # JUMPDEST, PUSH1 0, JUMP
HONEST = 11
A_LONG_BLOCK, A_SHORT_BLOCK = 60, 0.01  # seconds: a verification is trusted for one block


@pytest.fixture
def block_of(settings: Settings) -> Iterator[Callable[[float], None]]:
    """Let the network say that its blocks take so long; who has to wait for an unknown outcome is told at once."""
    before = settings.LOA

    def make(seconds: float) -> None:
        facts = settings.LOA["NETWORKS"][NETWORK] | {"block_seconds": seconds}
        settings.LOA = settings.LOA | {"NETWORKS": {NETWORK: facts}, "WAIT_SECONDS": 90, "WAITING_REPLAYS": 0}
        networks.cache_clear()

    yield make
    settings.LOA = before
    networks.cache_clear()


def signed_by(buyer: Buyer) -> dict[str, str]:
    return {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/item/a")))}


def pays(buyer: Buyer, header: dict[str, str]) -> Future[Any]:
    """Send a payment for /item/a and do not wait; its row is there when this returns."""
    answer = in_background(lambda: again(buyer).ask("/item/a", headers=header))
    until(lambda: row_of(buyer) is not None, seconds=30)
    return answer


def answer_of(buyer: Buyer, header: dict[str, str], first: Future[Any], *, deadline: float) -> Any:
    """What an honest client gets in the end, which sends the same payload again when it is told to."""
    answer = first.result(100)
    while answer.status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
        answer = buyer.ask("/item/a", headers=header)
    return answer


def is_settler_held() -> bool:
    """Whether some process waits for the relayer's row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND query LIKE '%x402_relayer%'"
        )
        return bool(cursor.fetchone()[0])


def attempts_of(*buyers: Buyer) -> list[ChainTransaction]:
    """The transactions that carried these wallets' payments, oldest first."""
    payers = [buyer.address.lower() for buyer in buyers]
    return list(ChainTransaction.objects.filter(attempts__payment__payer__in=payers).distinct().order_by("pk"))


def batched_with(
    hold: RelayerHold, attack: Attack, hostile: Buyer, settings: Settings
) -> tuple[list[Buyer], list[Any], Any]:
    """Many payments that wait together, the hostile one among them, whose account then gets code; and all answers."""
    attack.saw(attack.buyer().buy("/item/warm-up"))
    honest = [attack.buyer() for _ in range(HONEST)]
    headers = [signed_by(one) for one in honest]
    spoiling = signed_by(hostile)
    hold.take()
    first = pays(honest[0], headers[0])
    until(is_settler_held, seconds=30)  # what it saw for its first batch was seen before the hostile payment came
    spoilt = pays(hostile, spoiling)
    answers = [first, *(pays(one, header) for one, header in zip(honest[1:], headers[1:], strict=True))]
    attack.chain.call("anvil_setCode", hostile.address, BURNS_ALL_GAS)
    hold.let_go()
    refused = spoilt.result(100)
    settings.LOA = settings.LOA | {"WAITING_REPLAYS": 24}  # whoever asks again may wait
    deadline = time.monotonic() + 90
    released = [answer_of(*one, deadline=deadline) for one in zip(honest, headers, answers, strict=True)]
    return honest, released, refused


@pytest.mark.attacks("10 hostile asset or payer")
def test_a_payer_that_gets_code_inside_a_batch_delays_the_others_by_one_transaction(
    attack: Attack, hold: RelayerHold, block_of: Callable[[float], None], settings: Settings
) -> None:
    block_of(A_LONG_BLOCK)
    hostile = attack.buyer()

    honest, released, refused = batched_with(hold, attack, hostile, settings)

    assert [one.status_code for one in released] == [200] * HONEST
    assert (refused.status_code, refused.json()["code"]) == (503, "settlement_unknown")
    [burnt] = attempts_of(hostile)
    assert burnt.payment_count > 1
    bound = (GAS_PER_TRANSACTION + burnt.payment_count * due_payments.GAS_PER_EIP3009) * GAS_MARGIN_PERCENT // 100
    assert burnt.gas_used <= bound
    assert all(one.succeeded for one in attempts_of(*honest) if one.pk != burnt.pk)
    beside = SettlementAttempt.objects.filter(transaction=burnt).exclude(payment=row_of(hostile))
    tries = [SettlementAttempt.objects.filter(payment=one.payment_id).count() for one in beside]
    assert max(tries) == 2
    assert row_of(hostile).payer_has_code
    assert not Payment.objects.filter(payer__in=[one.address.lower() for one in honest], payer_has_code=True).exists()
    attack.saw(*released, refused)


@pytest.mark.attacks("10 hostile asset or payer")
def test_a_payer_that_got_code_while_it_waited_travels_alone(
    attack: Attack, hold: RelayerHold, block_of: Callable[[float], None], settings: Settings
) -> None:
    block_of(A_SHORT_BLOCK)
    hostile = attack.buyer()

    honest, released, refused = batched_with(hold, attack, hostile, settings)

    assert [one.status_code for one in released] == [200] * HONEST
    assert refused.status_code == 503
    assert all(one.payment_count == 1 for one in attempts_of(hostile))
    assert all(one.succeeded for one in attempts_of(*honest))
    attack.saw(*released, refused)


def test_the_gas_of_a_full_batch_is_within_a_quarter_of_a_block() -> None:
    assert due_payments.BATCH_GAS * GAS_MARGIN_PERCENT // 100 <= 30_000_000 // 4
