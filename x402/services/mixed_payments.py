"""A call paid partly with credit notes and partly on the chain (rule R13).

Only an authenticated quote makes one: it names the wallet and how much credit it applies, and that credit is held
before anything is settled. The credit pays first. It has a billing entry of its own, which ends as the payment ends:
charged when it was served, given back when it was not. Ending it twice is ending it once, so a crash between the
payment's end and the credit's is repaired by asking again.
"""

from django.db import connection

from billing.domain.errors import LostLease
from billing.domain.journal import Transition
from billing.selectors import credit_notes
from billing.services import credit_spending, finalization
from x402.chain.network_settings import default_network, networks
from x402.models import Payment, PaymentState
from x402.models.payment import ON_CHAIN, Method
from x402.pricing import Quotation
from x402.protocol.errors import PaymentRefused
from x402.selectors.payments import payment_of
from x402.services.paid_requests import PaidRequest

# From the open holds of credit, which are few and have an index, to their payments: most payments never held any.
_OPEN = """
SELECT p.id FROM billing.billing_entry e JOIN x402_payment p ON p.entry_id = left(e.id, -2) COLLATE "default"
WHERE e.state = 'RESERVE_HELD' AND e.funding = 'credit' AND right(e.id, 2) = '_c'
  AND p.credit_held AND p.method IN ('eip3009', 'permit2') AND p.state IN ('served', 'credited', 'refunded', 'dead')
ORDER BY p.created_at LIMIT %s
"""


def applicable_credit(incoming: PaidRequest, quotation: Quotation) -> int:
    """How much of the price the proven wallet's notes can pay beside the chain, in MicroUSDC; 0 for anyone else.

    At least one unit is left for the chain; who has enough for all of it pays with notes alone.
    """
    if not incoming.wallet:
        return 0
    asset = default_network().assets[0].asset_id
    spendable = credit_notes.spendable_credit_of(incoming.wallet, asset)
    return spendable if spendable < quotation.max_cost_micro_usdc else 0


def hold_credit(payment: Payment) -> None:
    """Hold the credit this payment's quote applies, once. Raises PaymentRefused when it is no longer there.

    The authorization is unspent then: its row ends as dead, and nothing was sent.
    """
    if not is_mixed(payment) or payment.credit_held:
        return
    result = credit_spending.hold_credit(
        wallet=payment.payer,
        account_id=payment.account_id,
        denomination=denomination_of(payment),
        amount_micro_usdc=payment.credit_applied_micro_usdc,
        spend_key=payment.pk,
        entry_id=_entry_id(payment),
        correlation_id=payment.correlation_id,
        transition=Transition(
            table="x402_payment",
            row_id=payment.pk,
            from_state=PaymentState.VERIFIED,
            to_state=PaymentState.VERIFIED,
            attempt=payment.attempt,
            changes={"credit_held": True},
        ),
    )
    if result.is_written:
        payment.credit_held = True
        return
    Payment.objects.filter(pk=payment.pk, state=PaymentState.VERIFIED, credit_held=False).update(
        state=PaymentState.DEAD, failure_code="credit_changed"
    )
    raise PaymentRefused("credit_changed", "The credit this quote counted on is no longer there.")


def end_credit(payment: Payment) -> None:
    """Book the end of the credit beside a payment that has ended: charged first when it was served, else given back."""
    if not is_mixed(payment) or not payment.credit_held:
        return
    request = finalization.FinalizeRequest(
        payment_id=payment.pk,
        entry_id=_entry_id(payment),
        account_id=payment.account_id,
        wallet=payment.payer,
        denomination=denomination_of(payment),
        held_micro_usdc=payment.credit_applied_micro_usdc,
        cost_micro_usdc=credit_share(payment, payment.charged_micro_usdc or 0),
        correlation_id=payment.correlation_id,
        transition=None,
    )
    if payment.state == PaymentState.SERVED:
        finalization.finalize(payment=request)
    else:
        finalization.credit_owed(payment=request, reason=payment.failure_code or "not_served")


def end_open_credits(limit: int) -> int:
    """Repair: end the credit of every ended payment whose credit is still held; how many."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [limit])
        ids = [row[0] for row in cursor.fetchall()]
    ended = 0
    for payment_id in ids:
        try:
            end_credit(payment_of(payment_id))
        except LostLease:
            continue
        ended += 1
    return ended


def credit_share(payment: Payment, charged_micro_usdc: int) -> int:
    """How much of what is charged the credit pays: all it can, because it pays first."""
    return min(charged_micro_usdc, payment.credit_applied_micro_usdc) if is_mixed(payment) else 0


def is_mixed(payment: Payment) -> bool:
    return payment.method in ON_CHAIN and payment.credit_applied_micro_usdc > 0


def _entry_id(payment: Payment) -> str:
    return f"{payment.entry_id}_c"


def denomination_of(payment: Payment) -> str:
    """The money this payment is made in: the CAIP-19 id of a token, or prepaid MicroUSD."""
    if payment.method == Method.API_KEY:
        return payment.asset
    asset = networks()[payment.network].asset_at(payment.asset)
    return asset.asset_id if asset else f"{payment.network}/erc20:{payment.asset}"
