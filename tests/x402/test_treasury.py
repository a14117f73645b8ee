"""The refund float is watched and filled on the chain's evidence; a stray deposit goes back to who sent it."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from billing.domain import accounts
from billing.domain.errors import ApprovalInvalid
from billing.selectors.balances import balance_of
from billing.services import treasury_moves
from loa_site.local import wallets
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from x402.chain import abi
from x402.chain.network_settings import default_network
from x402.models import FacilitatedPayment, Refund
from x402.models.reconciliation import Reconciliation
from x402.services import reconciliation, refund_gate, refunds, suspense, treasury
from x402.services.treasury import NotATopUp

pytestmark = pytest.mark.django_db(transaction=True)

USDC_ADDRESS = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
USDC = f"eip155:84532/erc20:{USDC_ADDRESS.lower()}"
FLOAT = wallets.refund_float().address
PAY_TO = wallets.pay_to()
TRANSFER = abi.selector("transfer(address,uint256)")


def transfer(chain: LocalChain, private_key: str, to: str, amount: int) -> str:
    data = "0x" + (TRANSFER + abi.word(bytes.fromhex(to[2:])) + abi.word(amount)).hex()
    transaction_hash = chain.send_mined(private_key, USDC_ADDRESS, data)
    chain.mine()
    return transaction_hash


def float_in_ledger() -> int:
    account = accounts.refund_float(network="eip155:84532", asset_address=USDC_ADDRESS, address=FLOAT)
    return -balance_of(account, USDC)


def treasury_in_ledger() -> int:
    account = accounts.treasury(network="eip155:84532", asset_address=USDC_ADDRESS, pay_to=PAY_TO.address)
    return -balance_of(account, USDC)


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("treasury", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_a_transfer_from_the_treasury_to_the_float_is_booked_once(chain: LocalChain) -> None:
    chain.mint(PAY_TO.address, 5_000)
    held, paid_in = float_in_ledger(), treasury_in_ledger()
    transaction_hash = transfer(chain, PAY_TO.private_key, FLOAT, 4_000)

    first, again = run("--top-up", transaction_hash), run("--top-up", transaction_hash)

    assert (first, again) == ({"booked_micro_usdc": 4_000}, {"booked_micro_usdc": 4_000})
    assert (float_in_ledger() - held, treasury_in_ledger() - paid_in) == (4_000, -4_000)


def test_a_transfer_from_anyone_else_is_no_top_up(chain: LocalChain, buyer: Buyer) -> None:
    held = float_in_ledger()
    transaction_hash = transfer(chain, buyer.private_key, FLOAT, 10)

    with pytest.raises(NotATopUp):
        treasury.book_top_up_of(default_network(), transaction_hash)
    with pytest.raises(CommandError, match="moved nothing"):
        run("--top-up", transaction_hash)

    assert float_in_ledger() == held


def test_the_float_asks_for_a_top_up_when_it_is_low(chain: LocalChain, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "REFUND_FLOAT_LOW_MICRO_USDC": 1_000}
    chain.mint(FLOAT, 999)
    needed = treasury.float_state(default_network()).needed_micro_usdc

    low = treasury.watch_float()
    chain.mint(FLOAT, 1_000 + needed)
    enough = treasury.watch_float()

    assert low == {"eip155:84532": 2_000 + needed - 999}
    assert enough == {"eip155:84532": 0}


def test_the_command_shows_float_and_deposits(chain: LocalChain) -> None:
    chain.mint(FLOAT, 777)

    shown = run()

    assert shown["floats"][0]["on_chain_micro_usdc"] == 777
    assert shown["floats"][0]["address"] == FLOAT.lower()


def test_refunds_stop_while_the_newest_comparison_shows_a_difference() -> None:
    Reconciliation.objects.create(applied=True, difference_count=1)
    stopped = refund_gate.why_stopped()
    Reconciliation.objects.create(applied=True, difference_count=0)

    assert "differ" in stopped
    assert refund_gate.why_stopped() == ""


def all_deposits() -> list[suspense.Deposit]:
    """Those of other tests as well, which are older and may be more than staff are shown at once."""
    return suspense.open_deposits(limit=1_000_000)


@pytest.fixture
def deposit(chain: LocalChain, new_buyer: Callable[[int], Buyer]) -> tuple[Buyer, suspense.Deposit]:
    """A plain transfer to our address that no payment explains, in suspense."""
    sender = new_buyer(50_000)
    transaction_hash = transfer(chain, sender.private_key, PAY_TO.address, 30_000)
    reconciliation.reconcile(applies=True)
    [found] = [one for one in all_deposits() if one.transaction_hash == transaction_hash]
    Reconciliation.objects.create(applied=True, difference_count=0)
    return sender, found


def test_two_people_give_a_stray_deposit_back_to_its_sender(
    chain: LocalChain, deposit: tuple[Buyer, suspense.Deposit]
) -> None:
    sender, found = deposit
    chain.mint(FLOAT, 1_000_000)
    chain.mine(70)
    suspended, before = balance_of(accounts.SUSPENSE, USDC), chain.balance_of(sender.address)

    asked = run("--return", found.journal_id, "--maker", "ann", "--reason", "sent by mistake")
    done = run("--return", found.journal_id, "--approval", asked["approval_id"], "--checker", "ben")

    refund = Refund.objects.get(pk=done["refund_id"])
    assert (refund.cause, refund.wallet, refund.amount_micro_usdc) == ("suspense", sender.address.lower(), 30_000)
    assert balance_of(accounts.SUSPENSE, USDC) == suspended - 30_000
    while FacilitatedPayment.objects.get(pk=refund.carried_by).state != "settled":
        chain.mine()
    chain.mine(70)
    assert refunds.advance(refund).state == "paid"
    assert chain.balance_of(sender.address) == before + 30_000
    with pytest.raises(CommandError, match="No deposit"):
        run("--return", found.journal_id, "--maker", "ann", "--reason", "again")


def test_one_person_alone_gives_nothing_back(deposit: tuple[Buyer, suspense.Deposit]) -> None:
    _, found = deposit
    approval_id = suspense.request_return(found.journal_id, maker="ann", reason="mine")

    with pytest.raises(ApprovalInvalid):
        suspense.return_deposit(found.journal_id, approval_id=approval_id, checker="ann")

    assert found.journal_id in {one.journal_id for one in all_deposits()}


def test_an_approval_for_the_sender_pays_nobody_else(deposit: tuple[Buyer, suspense.Deposit]) -> None:
    _, found = deposit
    approval_id = suspense.request_return(found.journal_id, maker="ann", reason="mistake")
    suspense.corrections.grant_approval(approval_id=approval_id, checker="ben")

    with pytest.raises(ApprovalInvalid):
        treasury_moves.match_deposit(
            journal_id=found.journal_id,
            wallet="0x" + "99" * 20,
            denomination=found.denomination,
            amount_micro_usdc=found.amount,
            approval_id=approval_id,
        )


def test_a_comparison_books_top_ups_by_itself(chain: LocalChain) -> None:
    chain.mint(PAY_TO.address, 2_000_000)
    held = float_in_ledger()
    transfer(chain, PAY_TO.private_key, FLOAT, 1_500)

    report = reconciliation.reconcile(applies=True)

    assert float_in_ledger() == held + 1_500
    assert not [one for one in report.differences if one["kind"] == "unmatched_outflow"]
