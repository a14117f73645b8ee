"""What tests of refunds share: asking for one, and bringing it to the chain."""

import threading
import time
from typing import Any

from billing.domain import accounts
from billing.selectors import credit_notes
from billing.selectors.balances import balance_of
from loa_site.local import wallets
from tests.x402.chain_tools import LocalChain
from tests.x402.purchasing import Member, new_key
from x402.models import FacilitatedPayment, Refund
from x402.services import refunds

REFUND = "/api/v1/credits/refund"
USDC = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
SECONDS_TO_CARRY = 20  # a slow machine's; a usual one needs a quarter of a second
FINAL_BLOCKS = 70  # the local chain calls a block final when 64 others stand on it
USDC_ADDRESS = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
FLOAT = wallets.refund_float().address


def ask(member: Member, amount: int | None = None, *, key: str = "") -> Any:
    body = {} if amount is None else {"amount_micro_usdc": str(amount)}
    return member.post(REFUND, body, Idempotency_Key=key or new_key())


def carried(refund_id: str) -> Refund:
    """The refund once the relayer has brought it to the chain."""
    refund = Refund.objects.get(pk=refund_id)
    deadline = time.monotonic() + SECONDS_TO_CARRY
    while time.monotonic() < deadline:
        if FacilitatedPayment.objects.get(pk=refund.carried_by).state == "settled":
            return refund
        threading.Event().wait(0.02)
    raise AssertionError("the refund was not carried")


def finished(refund_id: str, chain: LocalChain) -> Refund:
    refund = carried(refund_id)
    chain.mine(FINAL_BLOCKS)
    refunds.advance(refund)
    return Refund.objects.get(pk=refund_id)


def payable() -> int:
    return balance_of(accounts.REFUNDS_PAYABLE, USDC)


def credit(member: Member) -> int:
    return credit_notes.spendable_credit_of(member.buyer.address, USDC)
