"""Money that moved at our addresses and has no row: named, and booked by evidence or left to a person to decide."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError

from billing.services.verification import verify_ledger
from tests.drill.payers import NewBuyer, paid_in_the_end
from tests.drill.state import received_by
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger, own_ledger_of
from tests.x402.chain_tools import LocalChain, stranger
from tests.x402.refunding import USDC_ADDRESS
from x402.chain import network_settings, tokens
from x402.models import ConsumedLog, Refund
from x402.services import refund_float, settler
from x402.services.recovery_matching import reporter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.django_db(transaction=True)]

AMOUNT = 1_234


@pytest.fixture
def own_ledger(own_database: dict[str, str], settings: LazySettings, treasury: str) -> Iterator[OwnLedger]:
    """An empty ledger that the code under test uses, and nobody else."""
    with own_ledger_of(own_database) as opened:
        settings.LOA = {**settings.LOA, "REDIS_URL": ""}
        yield opened
        assert settler.rest()  # before its database goes away


@pytest.fixture
def refund() -> Refund:
    """A refund that no row has yet."""
    return Refund(
        id=f"ref_{secrets.token_hex(8)}",
        cause="wallet",
        wallet="0x" + secrets.token_hex(20),
        account_id="acc_of_nobody",
        network=ledger.NETWORK,
        asset=ledger.ASSET,
        amount_micro_usdc=AMOUNT,
    )


def carry(refund: Refund, chain: LocalChain) -> str:
    """Sign a refund and let a stranger bring it to the chain."""
    signed = refund_float.sign(refund)
    refund.paid_from, refund.nonce, refund.signature = signed.paid_from, signed.nonce, signed.signature
    refund.valid_before = signed.valid_before
    calldata = tokens.transfer_with_authorization(refund_float.authorization_of(refund))
    return chain.send_mined(stranger(), USDC_ADDRESS, "0x" + calldata.hex())


def sent(key: str, recipient: str, chain: LocalChain) -> str:
    """A plain transfer of AMOUNT by whoever holds the key."""
    data = "0xa9059cbb" + recipient[2:].lower().rjust(64, "0") + f"{AMOUNT:064x}"
    return chain.send_mined(key, USDC_ADDRESS, data)


def outflows(facts: Any) -> list[tuple[str, str, str]]:
    return [(one["becomes"], one["to"], one["amount"]) for one in facts[ledger.NETWORK]["missing_outflows"]]


def test_a_refund_that_no_note_can_pay_for_is_for_a_person_to_decide(
    own_ledger: OwnLedger, refund: Refund, chain: LocalChain
) -> None:
    carry(refund, chain)

    looked, matched = reporter.report(), reporter.match()

    assert outflows(looked.facts) == outflows(matched.facts) == [("refund", refund.wallet, str(AMOUNT))]
    assert looked.obstacles == ()
    [obstacle] = matched.obstacles
    assert obstacle.endswith("refused (insufficient_funds).")
    assert list(matched.facts["booked"].values()) == ["refused (insufficient_funds)"]
    assert ConsumedLog.objects.count() == 0
    assert verify_ledger().findings == ()


def test_a_refund_whose_row_is_left_is_named_by_it_and_booked_by_the_sweep(
    own_ledger: OwnLedger, refund: Refund, chain: LocalChain
) -> None:
    Refund.objects.bulk_create([refund])
    carry(refund, chain)

    matched = reporter.match()

    assert outflows(matched.facts) == [(f"refund_under_way:{refund.pk}", refund.wallet, str(AMOUNT))]
    assert (matched.obstacles, matched.facts["booked"]) == ((), {})


def test_money_that_left_the_float_without_an_authorization_forbids_an_end(
    own_ledger: OwnLedger, settings: LazySettings, chain: LocalChain
) -> None:
    recipient = "0x" + secrets.token_hex(20)
    sent(settings.LOA["REFUND_PRIVATE_KEY"], recipient, chain)

    matched = reporter.match()

    assert outflows(matched.facts) == [("", recipient, str(AMOUNT))]
    [obstacle] = matched.obstacles
    assert obstacle.endswith("left our addresses and no refund says so")


def test_a_top_up_that_has_no_row_is_booked_by_where_it_went(
    own_ledger: OwnLedger, treasury: str, treasury_key: str, new_buyer: NewBuyer, chain: LocalChain
) -> None:
    paid = paid_in_the_end(new_buyer(1_000_000))
    sent(treasury_key, refund_float.address(), chain)

    matched = reporter.match()

    assert (paid.status, matched.obstacles, list(matched.facts["booked"].values())) == (200, (), ["top_up"])
    assert received_by(treasury) == chain.balance_of(treasury) == paid.amount - AMOUNT
    assert verify_ledger().findings == ()


def test_money_at_an_address_that_is_no_longer_offered_is_compared_too(
    own_ledger: OwnLedger, settings: LazySettings, treasury: str, new_buyer: NewBuyer, chain: LocalChain
) -> None:
    retired = "0x" + secrets.token_hex(20)
    network = {**settings.LOA["NETWORKS"][ledger.NETWORK], "pay_to_retired": [retired]}
    settings.LOA = {**settings.LOA, "NETWORKS": {ledger.NETWORK: network}}
    network_settings.networks.cache_clear()
    sent(new_buyer(AMOUNT).private_key, retired, chain)

    looked = reporter.report()

    [found] = looked.facts[ledger.NETWORK]["missing_inflows"]
    assert (found["to"], found["amount"], found["becomes"]) == (retired, str(AMOUNT), "deposit")


def test_the_report_ends_with_0_when_ledger_and_chain_agree_and_wants_a_recovery_only_when_asked(
    own_ledger: OwnLedger, told: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    code, report = told("restore_report")

    assert (code, report["agrees"], report["recovery"], report["forgotten"]) == (0, True, None, [])
    with pytest.raises(CommandError, match="No recovery is under way"):
        told("restore_report", "--require-recovery")
