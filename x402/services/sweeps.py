"""Nothing rests for ever: every non-final state has a maximum age and a named exit (R35).

Each sweep is safe to run anywhere, any number of times, and works on a bounded number of rows, oldest first.
Lost wake-ups and dead processes are repaired here; what a live process holds is left alone, judged by its lease.
"""

from dataclasses import dataclass

from django.db import connection
from django.db.models.functions import Now

from billing.domain.errors import LostLease
from billing.services import recovery
from telemetry import names
from telemetry.logging import get_logger
from x402.models import Payment, PaymentState
from x402.models.payment import Method, WorkState
from x402.services import answers, evidence, exposure, mixed_payments, verification, work_first
from x402.services.serving import credit_failed_work, end_serving, note_claim
from x402.services.serving_leases import leases
from x402.services.waiting import watch

SWEEP_LIMIT = 200
CRASHED_STATUS = 502
UNSERVED_HOURS = 24

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """How many payments each exit took."""

    became_unknown: int
    resolved: int
    credited_after_crash: int
    credited_unserved: int
    given_up: int


def sweep_payments() -> Swept:
    """Move every over-age payment to its exit. Locks one row at a time. In recovery all of them wait (R10)."""
    if recovery.is_under_way():
        return Swept(0, 0, 0, 0, 0)
    became_unknown = _end_settling_leases()
    resolved = _resolve_unknown()
    crashed = sum(credit_if_crashed(payment_id) for payment_id in _ids(_CRASHED, []))
    abandoned = [*_ids(_UNSERVED, [UNSERVED_HOURS]), *_ids(_UNCLAIMED_HOLDS, [])]
    unserved = sum(_credit_unserved(payment_id) for payment_id in abandoned)
    unserved += _end_unfinished_work()
    mixed_payments.end_open_credits(SWEEP_LIMIT)
    exposure.release_ended()
    return Swept(became_unknown, resolved, crashed, unserved, _give_up_unclaimed())


_SETTLING_WITHOUT_LEASE = """
UPDATE x402_payment SET state = 'settlement_unknown', failure_code = 'settlement_pending',
  updated_at = clock_timestamp(), lease_until = CASE WHEN work = 'answered' THEN NULL ELSE lease_until END
WHERE id IN (
  SELECT id FROM x402_payment WHERE state = 'settling' AND lease_until < clock_timestamp()
  ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED)
"""
# Those not looked at for longest come first: payments that stay unknown must not keep others waiting.
_UNKNOWN = "SELECT id FROM x402_payment WHERE state = 'settlement_unknown' ORDER BY updated_at LIMIT %s"
_LOOKED_AT = "UPDATE x402_payment SET updated_at = clock_timestamp() WHERE id = %s AND state = 'settlement_unknown'"
_CRASHED = (
    "SELECT id FROM x402_payment WHERE state = 'serving' AND lease_until < clock_timestamp()"
    " AND (on_crash <> 'rerun' OR attempt > 1 OR lease_until < clock_timestamp() - interval '1 minute')"
    " ORDER BY created_at LIMIT %s"
)
_UNSERVED = (
    "SELECT id FROM x402_payment WHERE state = 'settled'"
    " AND settled_at < clock_timestamp() - make_interval(hours => %s) ORDER BY created_at LIMIT %s"
)
# Nobody waits for it any more, and nothing on a chain can bring it back: the hold of a call goes back to its balance.
_UNCLAIMED_HOLDS = (
    "SELECT id FROM x402_payment WHERE method = 'api_key' AND state = 'settled' AND lease_until < clock_timestamp()"
    " ORDER BY created_at LIMIT %s"
)
_UNFINISHED = (
    "SELECT id FROM x402_payment WHERE settle_order <> 'before' AND lease_until < clock_timestamp()"
    " AND (state = 'settled' OR (state = 'verified' AND work = 'running')) ORDER BY created_at LIMIT %s"
)
_OVERDUE = (
    "SELECT id FROM x402_payment WHERE state = 'verified' AND lease_until < clock_timestamp()"
    " AND valid_before < extract(epoch FROM clock_timestamp()) ORDER BY created_at LIMIT %s"
)


def credit_if_crashed(payment_id: str) -> bool:
    """Give the whole amount back when the process that served this payment died; at most one caller wins.

    Taking over raises the attempt, so that the first process, if it wakes, can no longer commit its answer (R6).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE x402_payment SET attempt = attempt + 1, updated_at = clock_timestamp(),"
            " lease_until = clock_timestamp() + interval '30 seconds'"
            " WHERE id = %s AND state = 'serving' AND lease_until < clock_timestamp() RETURNING attempt",
            [payment_id],
        )
        row = cursor.fetchone()
    if row is None:
        return False
    payment = Payment.objects.get(pk=payment_id)
    try:
        credit_failed_work(payment, attempt=row[0], code="work_interrupted", status=CRASHED_STATUS)
    except LostLease:
        return False
    watch.announce([payment_id])
    return True


def _credit_unserved(payment_id: str) -> bool:
    payment = Payment.objects.get(pk=payment_id)
    if payment.minted_micro_usd:
        return _close_purchase(payment)
    try:
        credit_failed_work(payment, attempt=payment.attempt, code="answer_not_fetched", status=410)
    except LostLease:
        return False
    return True


def _close_purchase(payment: Payment) -> bool:
    """Credit was minted with the settlement; only the answer that nobody waited for is still to be kept."""
    claim = leases.claim(payment.pk)
    if claim is None:
        return False
    note_claim(payment, claim)
    try:
        credit_failed_work(payment, attempt=claim.attempt, code="answer_not_fetched", status=410)
    except LostLease:
        return False
    finally:
        end_serving(payment)
    return True


def _end_settling_leases() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_SETTLING_WITHOUT_LEASE, [SWEEP_LIMIT])
        return int(cursor.rowcount)


def _resolve_unknown() -> int:
    resolved = 0
    for payment_id in _ids(_UNKNOWN, []):
        payment = Payment.objects.get(pk=payment_id)
        if evidence.resolve(payment) != PaymentState.SETTLEMENT_UNKNOWN:
            resolved += 1
            continue
        if payment.is_answered_on_credit and verification.may_be_sent_again(payment):
            Payment.objects.filter(pk=payment_id, state=PaymentState.SETTLEMENT_UNKNOWN).update(lease_until=Now())
        with connection.cursor() as cursor:
            cursor.execute(_LOOKED_AT, [payment_id])
    return resolved


def _end_unfinished_work() -> int:
    """Payments that settle after their work, whose worker is gone: failed when unsettled, owed when settled."""
    ended = 0
    for payment_id in _ids(_UNFINISHED, []):
        payment = Payment.objects.get(pk=payment_id)
        if payment.state == PaymentState.VERIFIED:
            work_first.end_interrupted(payment)
        elif payment.work == WorkState.FAILED or not answers.is_kept(payment):
            ended += work_first.give_back(payment)
    return ended


def _give_up_unclaimed() -> int:
    """Authorizations nobody waits for and that expired: dead when the chain, at a final block, shows them unused."""
    given_up = 0
    for payment_id in _ids(_OVERDUE, []):
        payment = Payment.objects.get(pk=payment_id)
        if payment.method in (Method.CREDIT_NOTES, Method.API_KEY):
            given_up += evidence.bury(payment, reason="never_held")
        else:
            given_up += evidence.resolve(payment) == PaymentState.DEAD
    if given_up:
        log.info(names.PAYMENT_DIED, payments=given_up)
    return given_up


def _ids(query: str, parameters: list[int]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query, [*parameters, SWEEP_LIMIT])
        return [row[0] for row in cursor.fetchall()]
