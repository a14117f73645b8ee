"""Refunds: credit notes paid out on the chain, to the wallet they belong to, each exactly once (rule R4).

A refund moves `requested → started → sent → paid`. `started` takes the money off the notes before anything is signed,
in the journal that moves the row. `sent` stores one authorization whose nonce is the hash of the refund's id, beside
the row by which our relayer carries it. From then on only the chain decides, at a finalized block: used means `paid`,
ended unused means `failed` and the money is on a note again. Every step may be repeated after a crash between any two.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone

from billing.domain import errors
from billing.domain.accounts import token_denomination
from billing.domain.journal import Transition
from billing.services import recovery
from billing.services import refunds as ledger
from outbound.json_rpc import RpcFailure
from telemetry import names
from telemetry.configuration import loa
from telemetry.identifiers import new_id
from telemetry.logging import get_logger
from x402.chain import receipts
from x402.chain.network_settings import default_network
from x402.chain.receipts import Log, Use
from x402.chain.verification_state import authorization_state
from x402.models import ConsumedLog, Payment, PaymentState, Refund, RefundDay, RefundState
from x402.services import refund_carrying, refund_finality, refund_float, refund_gate, screening
from x402.services.crash_points import crash_point
from x402.services.facilitator_choice import rpc_of

LEASE_SECONDS: Final = 5  # how long one request or sweep has a refund for itself
UNSENT_HOURS: Final = 24  # money that the float cannot pay for so long goes back to its note
SWEEP_LIMIT: Final = 50
TABLE: Final = "x402_refund"
CAUSE_WALLET: Final = "wallet"

log = get_logger(__name__)


class RefundRefused(Exception):
    """Raised when nothing is refunded: `code` is the problem's, `facts` are amounts. Nothing was taken off any note."""

    def __init__(self, code: str, detail: str = "", **facts: Any) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.facts = facts


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be refunded to whom. Without an amount, all that is refundable. Units: MicroUSDC."""

    wallet: str
    account_id: str
    amount_micro_usdc: int | None = None
    key: str = ""
    request_hash: str = ""
    note_id: str = ""
    cause: str = CAUSE_WALLET
    refund_id: str = ""  # of a refund that two people approved
    approval_id: str = ""


def request(wish: Wish) -> Refund:
    """Begin a refund, or find the one this key named before; as far as it could be brought now.

    Raises RefundRefused, WalletNotServed, RecoveryInProgress, RpcFailure. Locks: the day's row while the refund is
    stored, the wallet's account in the ledger.
    """
    known = Refund.objects.filter(wallet=wish.wallet, idempotency_key=wish.key).first() if wish.key else None
    if known is None:
        refund_gate.require_open()
        screening.require_served(wish.wallet, screening.FOR_REFUND)
        refund_finality.mark_final(wallet=wish.wallet)
        known, is_new = _store(wish)
        if is_new:
            crash_point("refund_stored")
            return advance(known)
    if known.request_hash != wish.request_hash:
        raise RefundRefused("idempotency_key_reused")
    if known.state == RefundState.REQUESTED and known.lease_until and known.lease_until > timezone.now():
        raise RefundRefused("idempotency_key_in_flight", refund_id=known.pk, retry_after_seconds=1)
    return advance(known)


def advance(refund: Refund) -> Refund:
    """Bring a refund as far as it goes now; safe to repeat and to race. Raises RefundRefused when it is refused.

    A chain that cannot be reached leaves it where it is.
    """
    try:
        if refund.state == RefundState.REQUESTED:
            _start(refund)
            crash_point("refund_started")
        if refund.state == RefundState.STARTED and refund_carrying.send(refund):
            crash_point("refund_sent")
        if refund.state == RefundState.SENT:
            _follow(refund)
    except RpcFailure as failure:
        log.warning(names.RPC_FAILED, refund_id=refund.pk, reason=type(failure).__name__)
    return refund


def refundable_of(wallet: str, denomination: str) -> int:
    """What could be paid out to this wallet now. Units: MicroUSDC."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(remaining), 0)::bigint FROM billing.credit_note"
            " WHERE wallet = %s AND denomination = %s AND remaining > 0 AND refundable_at <= clock_timestamp()"
            " AND (expires_at IS NULL OR expires_at > clock_timestamp())",
            [wallet, denomination],
        )
        return int(cursor.fetchone()[0])


def denomination_of(refund: Refund) -> str:
    """The money a refund is paid in."""
    return token_denomination(network=refund.network, asset_address=refund.asset)


def _store(wish: Wish) -> tuple[Refund, bool]:
    """The row of this wish, counted against the day; False when another request of the same key made it."""
    network = default_network()
    asset = network.assets[0]
    refundable = refundable_of(wish.wallet, asset.asset_id)
    amount = refundable if wish.amount_micro_usdc is None else wish.amount_micro_usdc
    if amount > refundable or amount <= 0:
        raise _too_little(wish, asset.asset_id, refundable)
    refund = Refund(
        id=wish.refund_id or new_id("ref"),
        cause=wish.cause,
        approval_id=wish.approval_id,
        wallet=wish.wallet,
        account_id=wish.account_id,
        network=network.caip2,
        asset=asset.address.lower(),
        amount_micro_usdc=amount,
        note_id=wish.note_id,
        idempotency_key=wish.key,
        request_hash=wish.request_hash,
        lease_until=_lease(),
    )
    with transaction.atomic(durable=True):
        [stored] = Refund.objects.bulk_create([refund], ignore_conflicts=True)
        mine = Refund.objects.filter(pk=refund.pk).first()
        if mine is None:
            return _named_before(wish), False
        if not _take_from_day(mine):
            raise RefundRefused(
                "refunds_stopped", "The refunds of this UTC day have reached their limit.", retry_after_seconds=3_600
            )
    return stored, True


def _named_before(wish: Wish) -> Refund:
    named = Refund.objects.filter(wallet=wish.wallet, idempotency_key=wish.key).first() if wish.key else None
    if named is None:
        raise RefundRefused("wrong_state", "This note is being refunded already.")
    return named


def _too_little(wish: Wish, denomination: str, refundable: int) -> RefundRefused:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(remaining), 0)::bigint FROM billing.credit_note"
            " WHERE wallet = %s AND denomination = %s AND remaining > 0 AND refundable_at IS NULL",
            [wish.wallet, denomination],
        )
        (waiting,) = cursor.fetchone()
    facts = {"refundable_micro_usdc": str(refundable), "not_final_micro_usdc": str(waiting)}
    if waiting and refundable + waiting >= (wish.amount_micro_usdc or 1):
        return RefundRefused("credit_not_final", retry_after_seconds=60, **facts)
    return RefundRefused("insufficient_credit", **facts)


_TAKE: Final = """
INSERT INTO x402_refundday AS d (network, asset, day, amount_micro_usdc)
VALUES (%(network)s, %(asset)s, %(day)s, %(amount)s)
ON CONFLICT (network, asset, day) DO UPDATE SET amount_micro_usdc = d.amount_micro_usdc + excluded.amount_micro_usdc
WHERE d.amount_micro_usdc + excluded.amount_micro_usdc <= %(limit)s RETURNING amount_micro_usdc
"""


def _take_from_day(refund: Refund) -> bool:
    """Count a refund against its day, in the caller's transaction; whether it fits. Locks the day's row (R27)."""
    limit = loa("REFUND_DAILY_LIMIT_MICRO_USDC")
    if refund.amount_micro_usdc > limit:
        return False
    facts: dict[str, str | int | date] = {
        "network": refund.network,
        "asset": refund.asset,
        "day": refund.created_at.date(),
        "amount": refund.amount_micro_usdc,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, facts)
        return cursor.fetchone() is not None


def _start(refund: Refund) -> None:
    """Take the money off the notes, with the row, in one journal. Raises RefundRefused."""
    try:
        ledger.start_refund(
            refund_id=refund.pk,
            wallet=refund.wallet,
            denomination=denomination_of(refund),
            amount_micro_usdc=refund.amount_micro_usdc,
            note_id=refund.note_id or None,
            approval_id=refund.approval_id or None,
            transition=_move(refund, RefundState.REQUESTED, RefundState.STARTED),
        )
    except errors.InsufficientFunds as error:
        _refuse(refund, "insufficient_credit")
        raise RefundRefused("insufficient_credit") from error
    except errors.ApprovalRequired as error:
        _refuse(refund, "refund_needs_approval")
        raise RefundRefused("refund_needs_approval") from error
    except (errors.WrongState, errors.KeyReused):
        refund.refresh_from_db()
        return
    refund.state = RefundState.STARTED


def _refuse(refund: Refund, reason: str) -> None:
    """Nothing was taken: the row ends, and the day has room again."""
    with transaction.atomic():
        moved = Refund.objects.filter(pk=refund.pk, state=RefundState.REQUESTED).update(
            state=RefundState.REFUSED, failure_code=reason
        )
        if moved:
            day = RefundDay.objects.select_for_update().get(
                network=refund.network, asset=refund.asset, day=refund.created_at.date()
            )
            day.amount_micro_usdc -= refund.amount_micro_usdc
            day.save(update_fields=["amount_micro_usdc"])
    refund.refresh_from_db()


def _follow(refund: Refund) -> None:
    """Look at a finalized block for what became of the authorization, whoever carried it (R5). Raises RpcFailure."""
    network, asset = refund_float.place_of(refund)
    rpc, authorization = rpc_of(network.caip2), refund_float.authorization_of(refund)
    final = authorization_state(
        rpc, authorization, asset=asset.address, multicall3=network.multicall3, block=network.finality_tag
    )
    if final.authorizations[0].is_used:
        use = receipts.find_use(
            rpc,
            asset=asset.address,
            authorization=authorization,
            from_block=refund.first_block,
            to_block=final.block.number,
        )
        if use is not None and use.use is Use.PAID:
            _confirm(refund, use.log)
        elif use is not None:
            _fail(refund, "authorization_canceled")
    elif final.block.timestamp >= refund.valid_before:
        _fail(refund, "authorization_expired")
    else:
        refund_carrying.keep_carrying(refund)


def _confirm(refund: Refund, found: Log) -> None:
    """Book what the chain shows; the log pays for this refund and nothing else (R3)."""
    consumed, _ = ConsumedLog.objects.get_or_create(
        network=refund.network,
        transaction_hash=found.transaction_hash,
        log_index=found.log_index,
        defaults={"beneficiary": refund.pk},
    )
    if consumed.beneficiary not in (refund.pk, refund.carried_by):
        log.error(names.REFUND_LOG_TAKEN, refund_id=refund.pk, beneficiary=consumed.beneficiary)
        return
    crash_point("refund_seen")
    changes: dict[str, str | int] = {"transaction_hash": found.transaction_hash, "log_index": found.log_index}
    own = _move(refund, RefundState.SENT, RefundState.PAID, changes)
    try:
        ledger.confirm_refund(
            refund_id=refund.pk,
            denomination=denomination_of(refund),
            paid_from=refund_float.account_of(refund.network, refund.asset, paid_from=refund.paid_from),
            amount_micro_usdc=refund.amount_micro_usdc,
            tx_hash=found.transaction_hash,
            log_index=found.log_index,
            transitions=(own, *_payments_refunded(refund)),
        )
    except (errors.WrongState, errors.KeyReused):
        log.info(names.REFUND_ENDED_ELSEWHERE, refund_id=refund.pk)
    refund.refresh_from_db()
    log.info(names.REFUND_PAID, refund_id=refund.pk, tx_hash=refund.transaction_hash)


def _payments_refunded(refund: Refund) -> tuple[Transition, ...]:
    """The payment whose whole credit this refund paid back moves to `refunded` with it."""
    if not refund.note_id:
        return ()
    with connection.cursor() as cursor:
        cursor.execute("SELECT source, amount FROM billing.credit_note WHERE id = %s", [refund.note_id])
        source, amount = cursor.fetchone()
    payment = Payment.objects.filter(pk=source, state=PaymentState.CREDITED).first()
    if payment is None or amount != refund.amount_micro_usdc:
        return ()
    return (
        Transition("x402_payment", payment.pk, PaymentState.CREDITED, PaymentState.REFUNDED, attempt=payment.attempt),
    )


def _fail(refund: Refund, reason: str) -> None:
    """The chain will never pay it: back on a note that is owed."""
    start = RefundState(refund.state)
    try:
        ledger.fail_refund(
            refund_id=refund.pk,
            wallet=refund.wallet,
            denomination=denomination_of(refund),
            amount_micro_usdc=refund.amount_micro_usdc,
            transition=_move(refund, start, RefundState.FAILED, {"failure_code": reason}),
        )
    except (errors.WrongState, errors.KeyReused):
        log.info(names.REFUND_ENDED_ELSEWHERE, refund_id=refund.pk)
    refund.refresh_from_db()
    log.warning(names.REFUND_FAILED, refund_id=refund.pk, reason=refund.failure_code)


def _move(
    refund: Refund, start: RefundState, end: RefundState, changes: dict[str, str | int] | None = None
) -> Transition:
    return Transition(TABLE, refund.pk, start, end, attempt=refund.attempt, changes=dict(changes or {}))


def _lease() -> datetime:
    return timezone.now() + timedelta(seconds=LEASE_SECONDS)


def sweep(limit: int = SWEEP_LIMIT) -> int:
    """Bring every open refund as far as it goes, those not looked at for longest first; how many ended (R35)."""
    if recovery.is_under_way() or not refund_float.is_offered():
        return 0
    ended = 0
    open_ones = Refund.objects.exclude(state__in=[RefundState.PAID, RefundState.FAILED, RefundState.REFUSED])
    for refund in open_ones.order_by("updated_at")[:limit]:
        try:
            advance(refund)
            if refund.state == RefundState.STARTED and refund.created_at < timezone.now() - timedelta(
                hours=UNSENT_HOURS
            ):
                _fail(refund, "float_empty")
        except RefundRefused as refused:
            log.info(names.REFUND_REFUSED, refund_id=refund.pk, code=refused.code)
        Refund.objects.filter(pk=refund.pk).update(updated_at=timezone.now())
        ended += refund.is_over
    return ended
