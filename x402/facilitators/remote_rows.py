"""Payments handed to a remote facilitator, as rows: taken, sent, answered, and released when the chain allows it.

Taking is one database transaction: it locks the due payments, writes an open attempt for each and moves it to
`settling`. An open attempt keeps every other way of settling away from its payment (R17).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from telemetry.configuration import loa
from x402.facilitators.due_payments import IS_DUE, DuePayment
from x402.facilitators.transaction_rows import MINIMUM_LIFETIME_SECONDS
from x402.models import Payment, PaymentState, RemoteAttempt, RemoteOutcome
from x402.protocol.payload import Authorization

NOTHING_SENT = "facilitator_unreachable"

# Where a relayer of our own follows, a payment is handed to a facilitator once; alone, it may be handed over again.
_WAITING = """
FROM x402_payment WHERE network = %(network)s AND method = 'eip3009' AND scheme = 'exact' AND @due
  AND valid_before > extract(epoch FROM clock_timestamp()) + %(lifetime)s
  AND NOT EXISTS (SELECT FROM x402_remoteattempt AS attempt WHERE attempt.payment_id = x402_payment.id
    AND (attempt.released_at IS NULL OR %(once)s))
""".replace("@due", IS_DUE)
_IS_WAITING = "SELECT EXISTS (SELECT @waiting)".replace("@waiting", _WAITING)
_TAKE = """
WITH due AS (
  SELECT id, asset, payer, pay_to, amount_micro_usdc, valid_after, valid_before, nonce, signature
  @waiting ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), moved AS (
  UPDATE x402_payment SET state = 'settling', transaction_hash = '', updated_at = clock_timestamp(),
    first_broadcast_at = coalesce(first_broadcast_at, clock_timestamp())
  FROM due WHERE x402_payment.id = due.id
), opened AS (
  INSERT INTO x402_remoteattempt (payment_id, facilitator, outcome, claimed_transaction, reason, sent_at)
  SELECT id, %(facilitator)s, 'sent', '', '', clock_timestamp() FROM due
)
SELECT * FROM due
""".replace("@waiting", _WAITING)


@dataclass(frozen=True, slots=True)
class Wish:
    """Which payments a facilitator takes: of one network, and once each where another way of settling follows."""

    network: str
    facilitator: str
    once: bool

    def parameters(self) -> dict[str, str | int | bool]:
        """For the queries above."""
        return {
            "network": self.network,
            "facilitator": self.facilitator,
            "once": self.once,
            "lifetime": MINIMUM_LIFETIME_SECONDS,
        }


def is_anything_waiting(wish: Wish) -> bool:
    """Whether a payment waits to be handed over. Locks nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_WAITING, wish.parameters())
        return bool(cursor.fetchone()[0])


def take(wish: Wish, *, limit: int) -> list[DuePayment]:
    """Move up to `limit` payments to `settling`, each with an open attempt. Locks their rows."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_TAKE, wish.parameters() | {"limit": limit})
        return [_due_payment(row) for row in cursor.fetchall()]


def note_answer(payment_id: str, *, outcome: RemoteOutcome, transaction_hash: str, reason: str) -> None:
    """Keep what the facilitator said of an open attempt."""
    RemoteAttempt.objects.filter(payment_id=payment_id, released_at__isnull=True).update(
        outcome=outcome, claimed_transaction=transaction_hash, reason=reason, answered_at=timezone.now()
    )


def release(payment_ids: Sequence[str], *, reason: str) -> list[str]:
    """Give these payments back: unused on the chain, for whichever way of settling comes next. Locks their rows.

    A payment keeps the claim of the request that waits for it. Returns those that were still ours to give.
    """
    with transaction.atomic(durable=True):
        moved = list(
            Payment.objects.select_for_update()
            .filter(pk__in=payment_ids, state=PaymentState.SETTLING, transaction_hash="")
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        Payment.objects.filter(pk__in=moved).update(
            state=PaymentState.SETTLEMENT_UNKNOWN, failure_code=reason, updated_at=timezone.now()
        )
        close(payment_ids)
    return moved


def close(payment_ids: Sequence[str]) -> None:
    """End the open attempts of these payments: the chain has spoken."""
    RemoteAttempt.objects.filter(payment_id__in=payment_ids, released_at__isnull=True).update(
        released_at=timezone.now()
    )


def may_be_released(payment_id: str) -> bool:
    """Whether enough time has passed since the bytes left that an unused nonce means they went nowhere.

    True as well for a payment that no facilitator holds. Two carriers of one authorization can never both be paid; the
    wait spares us gas for a transaction that would revert.
    """
    attempt = RemoteAttempt.objects.filter(payment_id=payment_id, released_at__isnull=True).first()
    if attempt is None:
        return True
    if attempt.outcome in (RemoteOutcome.NOTHING_SENT, RemoteOutcome.REFUSED):
        return True
    age = (timezone.now() - attempt.sent_at).total_seconds()
    if attempt.answered_at is None:
        return age > loa("FACILITATOR_TIMEOUT_SECONDS") + loa("FACILITATOR_HANDOVER_SECONDS")
    return age > loa("FACILITATOR_HANDOVER_SECONDS")


def _due_payment(row: Sequence[Any]) -> DuePayment:
    payment_id, asset, payer, pay_to, amount, valid_after, valid_before, nonce, signature = row
    authorization = Authorization(
        from_=bytes.fromhex(payer[2:]),
        to=bytes.fromhex(pay_to[2:]),
        value=amount,
        valid_after=valid_after,
        valid_before=valid_before,
        nonce=bytes.fromhex(nonce[2:]),
        signature=bytes(signature),
    )
    return DuePayment(payment_id=payment_id, asset=asset, authorization=authorization)
