"""What the chain shows of payments carried for other sites: one log each, settled once, never our revenue.

A transfer to our own address is our money all the same. It belongs to no payment we know, so it is booked to suspense,
unless the same authorization is a payment here: then that payment has the log (R3).
"""

from collections.abc import Sequence
from typing import Final

from django.utils import timezone

from billing.services import settlements
from telemetry import names
from telemetry.logging import get_logger
from x402.chain.network_settings import networks
from x402.facilitators.base import Evidence, Failure
from x402.models import ConsumedLog, FacilitatedPayment, FacilitatedState
from x402.selectors.payments import payment_by_replay_key

ID_PREFIX: Final = "fac"

log = get_logger(__name__)


def is_facilitated(payment_id: str) -> bool:
    """Whether this id names a payment of another site."""
    return payment_id.startswith(f"{ID_PREFIX}_")


def book(evidence: Sequence[Evidence]) -> list[str]:
    """Settle each of these by its Transfer log; the ids that are settled now. Safe to repeat."""
    settled = []
    for one in evidence:
        row = FacilitatedPayment.objects.get(pk=one.payment_id)
        if not _consume(row, one):
            continue
        FacilitatedPayment.objects.filter(pk=row.pk).exclude(state=FacilitatedState.SETTLED).update(
            state=FacilitatedState.SETTLED,
            transaction_hash=one.transaction_hash,
            block_hash=one.block_hash,
            block_number=one.block_number,
            log_index=one.log_index,
            failure_code="",
            settled_at=timezone.now(),
            updated_at=timezone.now(),
        )
        settled.append(row.pk)
    return settled


def note_failures(failures: Sequence[Failure]) -> list[str]:
    """These transactions did not carry their payment: nothing is known of the authorization now (R5)."""
    noted = []
    for one in failures:
        moved = FacilitatedPayment.objects.filter(
            pk=one.payment_id, state=FacilitatedState.SETTLING, transaction_hash=one.transaction_hash
        ).update(
            state=FacilitatedState.SETTLEMENT_UNKNOWN,
            failure_code=one.reason,
            lease_until=None,
            updated_at=timezone.now(),
        )
        if moved:
            log.warning(names.SETTLEMENT_REVERTED, payment_id=one.payment_id, reason=one.reason)
            noted.append(one.payment_id)
    return noted


def _consume(row: FacilitatedPayment, evidence: Evidence) -> bool:
    """Claim the log for this payment; whether it is its now. Money of ours is booked before the row says settled."""
    own = payment_by_replay_key(
        row.network, verifying_contract=row.verifying_contract, payer=row.payer, nonce=row.nonce
    )
    if own is not None:
        return True
    consumed, _ = ConsumedLog.objects.get_or_create(
        network=row.network,
        transaction_hash=evidence.transaction_hash,
        log_index=evidence.log_index,
        defaults={"beneficiary": row.pk},
    )
    if consumed.beneficiary != row.pk:
        return False
    if row.pay_to in own_addresses(row.network):
        settlements.book_unmatched_deposit(_deposit(row, evidence))
    return True


def own_addresses(network: str) -> frozenset[str]:
    """Where our money arrives on this network, in lower case: the address offered now and those before it."""
    known = networks()[network]
    return frozenset(address.lower() for address in (known.pay_to, *known.pay_to_retired))


def _deposit(row: FacilitatedPayment, evidence: Evidence) -> settlements.SettledPayment:
    return settlements.SettledPayment(
        payment_id=row.pk,
        entry_id="",
        account_id="",
        wallet=row.payer,
        network=row.network,
        asset_address=row.asset,
        pay_to=row.pay_to,
        amount_micro_usdc=row.due_micro_usdc,
        tx_hash=evidence.transaction_hash,
        block_hash=evidence.block_hash,
        block_number=evidence.block_number,
        log_index=evidence.log_index,
        correlation_id=row.pk,
        transition=None,
    )
