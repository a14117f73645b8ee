"""Getting the money: send what is due, book what the chain shows, and leave evidence of everything in between.

A payment says `settling` before anything is sent and is resolved only by chain evidence, never by elapsed time (R17).
One Transfer log pays for one payment: the log is consumed under a unique key before it is booked (R3), and booking is
idempotent by the log's place on the chain (R24), so a crash between any two steps is repaired by repeating them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from billing.domain.journal import Result, ResultStatus, Transition
from billing.services import dead_letters, deferred_sales, recovery, settlements
from telemetry import names
from telemetry.logging import get_logger
from x402.facilitators.base import Evidence, Facilitator, Failure, Outcome
from x402.metrics import SETTLEMENTS
from x402.models import Payment, PaymentState
from x402.selectors.payments import payments_by_id
from x402.services import batch_failures, facilitated_booking
from x402.services.crash_points import crash_point
from x402.services.span_facts import DIRECT, carrier_of, count_settled, settling, ways_of

log = get_logger(__name__)

_CONSUME = """
INSERT INTO x402_consumedlog (network, transaction_hash, log_index, beneficiary, created_at)
SELECT network, hash, log_index, beneficiary, clock_timestamp()
FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[]) AS consumed(network, hash, log_index, beneficiary)
ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING
"""
_BENEFICIARIES = """
SELECT consumed.beneficiary FROM x402_consumedlog AS consumed
JOIN unnest(%s::text[], %s::text[], %s::int[]) AS wanted(network, hash, log_index)
  ON (consumed.network, consumed.transaction_hash, consumed.log_index) = (wanted.network, wanted.hash, wanted.log_index)
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one step achieved: payment ids by what happened to them, and how much is still on its way."""

    settled: tuple[str, ...]
    failed: tuple[str, ...]
    submitted: tuple[str, ...]
    pending: int
    is_leader: bool
    booked: tuple[Outcome, ...] = ()
    retry_after_seconds: int = 0  # above 0: nothing can be sent now, by any way


def advance(facilitator: Facilitator) -> Progress:
    """One step of settlement on one network: submit what is due, collect what is known, book it.

    Locks: the relayer and due payment rows while a batch is stored; each booked payment's row inside the ledger call.
    Safe to repeat after a crash at any point. Raises RecoveryInProgress: nothing is sent then, and what the facilitator
    remembers may be of another past, so that the next step needs a new one (R10).
    """
    recovery.require_none()
    submitted = facilitator.submit()
    if submitted.payment_ids:
        crash_point("after_broadcast")
    if not submitted.is_leader:
        return Progress(settled=(), failed=(), submitted=(), pending=0, is_leader=False)
    outcomes = facilitator.collect()
    evidence = [outcome for outcome in outcomes if isinstance(outcome, Evidence)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if evidence:
        crash_point("after_receipt")
    own = [one for one in evidence if not facilitated_booking.is_facilitated(one.payment_id)]
    settled = book_evidence(own) + facilitated_booking.book([one for one in evidence if one not in own])
    own_failures = [one for one in failures if not facilitated_booking.is_facilitated(one.payment_id)]
    failed = note_failures(own_failures)
    failed += facilitated_booking.note_failures([one for one in failures if one not in own_failures])
    return Progress(
        settled=tuple(settled),
        failed=tuple(failed),
        submitted=submitted.payment_ids,
        pending=facilitator.pending_count(),
        is_leader=True,
        booked=tuple(outcomes),
        retry_after_seconds=submitted.retry_after_seconds,
    )


def book_evidence(evidence: Sequence[Evidence]) -> list[str]:
    """Book each Transfer log as the settlement of its payment; returns the ids that are settled now.

    Money that arrives for a payment that can no longer be served becomes a note of kind `owed` (R5).
    A log that already paid for something else pays nothing here.
    """
    if not evidence:
        return []
    rows = payments_by_id([one.payment_id for one in evidence])
    ours = _consume(evidence, rows)
    known = [one for one in evidence if one.payment_id in ours]
    done = {one.payment_id for one in known if _is_booked(rows[one.payment_id], one)}
    done |= {one.payment_id for one in known if _was_mined_again(rows[one.payment_id], one)}
    items = [_settled_payment(rows[one.payment_id], one) for one in known if one.payment_id not in done]
    settled = sorted(done)
    ways = ways_of(items)
    with settling(items, rows, ways=ways):
        booked = list(_booked(items, rows))
    for item, result in booked:
        if result.status in (ResultStatus.OK, ResultStatus.EXISTS):
            settled.append(item.payment_id)
            if result.status is ResultStatus.OK:
                count_settled(rows[item.payment_id], way=ways[item.payment_id])
            if rows[item.payment_id].failure_code:
                dead_letters.resolve_subject(queue="settlement", subject_id=item.payment_id, resolution="settled")
        elif result.status is ResultStatus.WRONG_STATE:
            _book_late_money(rows[item.payment_id], item)
        else:
            dead_letters.enqueue(
                queue="settlement",
                subject_id=item.payment_id,
                reason=str(result.status),
                payload={"schema_version": 1, "step": "book_settlement", "transaction_hash": item.tx_hash},
                correlation_id=item.correlation_id,
                trace_context=carrier_of(rows[item.payment_id]),
            )
    return settled


def _booked(
    items: Sequence[settlements.SettledPayment], rows: Mapping[str, Payment]
) -> Iterator[tuple[settlements.SettledPayment, Result]]:
    """Each item with its result: most are held for their work; what was answered on credit pays what is owed for it."""
    held = [item for item in items if not rows[item.payment_id].is_answered_on_credit]
    yield from zip(held, settlements.book_settlements(held), strict=True)
    for item in items:
        row = rows[item.payment_id]
        if row.is_answered_on_credit:
            yield item, deferred_sales.book_payment(item, charged_micro_usdc=row.charged_micro_usdc or 0)


def note_failures(failures: Sequence[Failure]) -> list[str]:
    """Record that these submissions did not pay: the outcome is now unknown, and a dead letter will resolve it.

    A revert is never final (R5): a stranger may have carried the authorization, or it may be carried again. What failed
    beside a hostile member of its batch is carried again at once, and whoever waits for it goes on waiting (R26).
    """
    noted = []
    sent_again = batch_failures.to_send_again(failures)
    for failure in failures:
        claim: dict[str, None] = {} if failure.payment_id in sent_again else {"lease_until": None}
        payment = Payment.objects.get(pk=failure.payment_id)
        moved = Payment.objects.filter(
            pk=payment.pk, state=PaymentState.SETTLING, transaction_hash=failure.transaction_hash
        ).update(state=PaymentState.SETTLEMENT_UNKNOWN, failure_code=failure.reason, **claim)
        if not moved:
            continue
        dead_letters.enqueue(
            queue="settlement",
            subject_id=payment.pk,
            reason=failure.reason,
            payload={"schema_version": 1, "step": "resolve", "transaction_hash": failure.transaction_hash},
            correlation_id=payment.correlation_id,
            trace_context=carrier_of(payment),
        )
        SETTLEMENTS.labels(method=DIRECT, outcome="reverted").inc()
        log.warning(names.SETTLEMENT_REVERTED, payment_id=payment.pk, reason=failure.reason)
        if failure.payment_id not in sent_again:
            noted.append(payment.pk)
    return noted


def _consume(evidence: Sequence[Evidence], rows: dict[str, Payment]) -> set[str]:
    """Claim each log for its payment; the ids whose log is theirs, now or since an earlier try."""
    networks = [rows[one.payment_id].network for one in evidence]
    hashes = [one.transaction_hash for one in evidence]
    indexes = [one.log_index for one in evidence]
    with connection.cursor() as cursor:
        cursor.execute(_CONSUME, [networks, hashes, indexes, [one.payment_id for one in evidence]])
        if cursor.rowcount == len(evidence):
            return {one.payment_id for one in evidence}
        cursor.execute(_BENEFICIARIES, [networks, hashes, indexes])
        owners = {row[0] for row in cursor.fetchall()}
    return {one.payment_id for one in evidence} & owners


def _is_booked(payment: Payment, evidence: Evidence) -> bool:
    """Whether this very log is in the books, as for a leader that died between booking it and saying so.

    The payment may have moved on since: the journal that this row gives now would not be the one that was written.
    """
    place = (payment.transaction_hash, payment.block_hash, payment.log_index)
    return payment.settled_at is not None and place == (
        evidence.transaction_hash,
        evidence.block_hash,
        evidence.log_index,
    )


def _was_mined_again(payment: Payment, evidence: Evidence) -> bool:
    """Whether this is money that is booked already, in another block now; the row then says where it stands (R24)."""
    if payment.settled_at is None or payment.block_hash in ("", evidence.block_hash):
        return False
    Payment.objects.filter(pk=payment.pk).update(
        transaction_hash=evidence.transaction_hash,
        block_hash=evidence.block_hash,
        block_number=evidence.block_number,
        log_index=evidence.log_index,
    )
    log.info(names.SETTLEMENT_RESOLVED, payment_id=payment.pk, transaction_hash=evidence.transaction_hash)
    return True


def _settled_payment(payment: Payment, evidence: Evidence) -> settlements.SettledPayment:
    return settlements.SettledPayment(
        payment_id=payment.id,
        entry_id=payment.entry_id,
        account_id=payment.account_id,
        wallet=payment.payer,
        network=payment.network,
        asset_address=payment.asset,
        pay_to=payment.pay_to,
        amount_micro_usdc=payment.due_micro_usdc,
        tx_hash=evidence.transaction_hash,
        block_hash=evidence.block_hash,
        block_number=evidence.block_number,
        log_index=evidence.log_index,
        correlation_id=payment.correlation_id,
        minted_micro_usd=payment.minted_micro_usd,
        transition=Transition(
            table="x402_payment",
            row_id=payment.id,
            from_state=payment.state,
            to_state=PaymentState.SERVED if payment.is_answered_on_credit else PaymentState.SETTLED,
            attempt=payment.attempt,
            changes={
                "transaction_hash": evidence.transaction_hash,
                "block_hash": evidence.block_hash,
                "block_number": evidence.block_number,
                "log_index": evidence.log_index,
            },
        ),
    )


def _book_late_money(payment: Payment, item: settlements.SettledPayment) -> None:
    """The row moved on without this money: settled by another worker already, or given up. Then it is owed back."""
    payment.refresh_from_db()
    if payment.state not in (PaymentState.DEAD, PaymentState.CREDITED, PaymentState.REFUNDED):
        return
    settlements.book_late_settlement(item)
    log.warning(names.SETTLEMENT_LATE, payment_id=payment.id, state=payment.state)
