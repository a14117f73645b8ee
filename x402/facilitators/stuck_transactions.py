"""What to do about a transaction that is not mined in time: which of three cases it is, and its replacement as a row.

The chain's count of the relayer's transactions decides. Below the lowest pending nonce: transactions before it
vanished in a reorganisation. Above it: another transaction of this nonce was mined instead. Equal: it waits, and after
some blocks the same calls are offered again with higher fees. A replacement keeps nonce, members and amounts (R25);
like any transaction it is stored before it is sent.
"""

from collections.abc import Sequence
from enum import StrEnum

from django.db import transaction

from x402.chain.transactions import SignedTransaction
from x402.facilitators.relayer_lease import holder
from x402.facilitators.transaction_rows import Lead, LeaseLost, PendingTransaction
from x402.models import (
    ChainTransaction,
    FacilitatedPayment,
    Payment,
    PaymentState,
    Relayer,
    SettlementAttempt,
    TransactionState,
)


class Case(StrEnum):
    """Why the lowest pending transaction is not mined."""

    VANISHED_BEFORE = "vanished_before"
    REPLACED = "replaced"
    WAITING = "waiting"


def case_of(*, on_chain: int, lowest: int) -> Case:
    """Which case it is, by the chain's count of the relayer's mined transactions.

    >>> case_of(on_chain=7, lowest=7), case_of(on_chain=6, lowest=7), case_of(on_chain=8, lowest=7)
    (<Case.WAITING: 'waiting'>, <Case.VANISHED_BEFORE: 'vanished_before'>, <Case.REPLACED: 'replaced'>)
    """
    if on_chain < lowest:
        return Case.VANISHED_BEFORE
    return Case.REPLACED if on_chain > lowest else Case.WAITING


def store_replacement(lead: Lead, old: PendingTransaction, *, signed: SignedTransaction) -> PendingTransaction:
    """Keep the signed replacement of a transaction, linked to the same payments. Locks the relayer row.

    Raises LeaseLost when another process writes with this key now; nothing is stored then.
    """
    ids = [payment.payment_id for payment in old.payments]
    with transaction.atomic(durable=True):
        held = (
            Relayer.objects.select_for_update()
            .filter(network=lead.network, address=lead.relayer, holder=holder(), epoch=lead.epoch)
            .exists()
        )
        if not held:
            raise LeaseLost
        row = ChainTransaction.objects.create(
            network=lead.network,
            relayer=lead.relayer,
            nonce=signed.nonce,
            transaction_hash=signed.transaction_hash,
            raw=signed.raw,
            state=TransactionState.BROADCAST,
            gas_limit=signed.gas_limit,
            max_fee_per_gas_wei=signed.max_fee_per_gas_wei,
            max_priority_fee_per_gas_wei=signed.max_priority_fee_per_gas_wei,
            payment_count=len(ids),
            replaces_id=old.row_id,
        )
        ChainTransaction.objects.filter(pk=old.row_id).update(state=TransactionState.REPLACED)
        own = set(Payment.objects.filter(pk__in=ids).values_list("pk", flat=True))
        SettlementAttempt.objects.bulk_create(
            SettlementAttempt(payment_id=payment_id, transaction=row, position=position)
            for position, payment_id in enumerate(ids)
            if payment_id in own
        )
        Payment.objects.filter(pk__in=own, state=PaymentState.SETTLING, transaction_hash=old.transaction_hash).update(
            transaction_hash=signed.transaction_hash
        )
        FacilitatedPayment.objects.filter(pk__in=ids, transaction_id=old.row_id).update(
            transaction=row, transaction_hash=signed.transaction_hash
        )
    return PendingTransaction(row.pk, signed.nonce, signed.transaction_hash, signed.raw, old.payments)


def mark_dropped(dropped: Sequence[PendingTransaction]) -> None:
    """These can never be mined: their nonce was used by something else."""
    ChainTransaction.objects.filter(
        pk__in=[one.row_id for one in dropped], state__in=[TransactionState.STORED, TransactionState.BROADCAST]
    ).update(state=TransactionState.DROPPED)
