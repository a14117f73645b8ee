"""From suspense back to whoever sent it: a deposit that matches nothing, given to its sender and paid out (R4, R34).

Three acts of staff, two people at least. One asks, naming the deposit and why; the wallet is the sender that the chain
shows, never a word of theirs. Another grants. Then the deposit becomes a note of kind `owed` of that wallet, and the
note a refund like any other, with the same gate, limit and nonce.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection, transaction

from accounts.services import audit
from accounts.services.account_of_wallet import account_id_of_wallet
from accounts.services.errors import AccountsError
from billing.domain.journal import JournalKind
from billing.services import corrections, treasury_moves
from outbound.json_rpc import OutcomeUnknown
from telemetry import names
from telemetry.logging import get_logger
from x402.chain import receipts, tokens
from x402.chain.network_settings import networks
from x402.models import Refund
from x402.services import refunds
from x402.services.facilitator_choice import rpc_of
from x402.services.treasury import movement_of

CAUSE_SUSPENSE: Final = "suspense"
DEPOSITS_MAX: Final = 100

log = get_logger(__name__)

_OPEN: Final = """
SELECT j.id, a.denomination, p.amount, j.metadata ->> 'tx_hash', (j.metadata ->> 'log_index')::int, j.recorded_at
FROM billing.journal j JOIN billing.posting p ON p.journal_id = j.id AND p.amount > 0
JOIN billing.account a ON a.id = p.account_id
WHERE j.kind = 'deposit_unmatched' AND (%(id)s = '' OR j.id = %(id)s)
  AND NOT EXISTS (SELECT FROM billing.idempotency_key k WHERE k.key = 'matched:' || j.id)
ORDER BY j.recorded_at LIMIT %(limit)s
"""


class NoSuchDeposit(LookupError):
    """Raised when no unmatched deposit has this journal id."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money that belongs to nothing we know. Units: the denomination's atomic unit."""

    journal_id: str
    denomination: str
    amount: int
    transaction_hash: str
    log_index: int
    recorded_at: datetime

    @property
    def network(self) -> str:
        """Where it arrived."""
        return self.denomination.partition("/")[0]


def open_deposits(limit: int = DEPOSITS_MAX) -> list[Deposit]:
    """Deposits in suspense, oldest first."""
    return _deposits("", limit)


def sender_of(deposit: Deposit) -> str:
    """Who sent it, as the chain shows it now. Raises OutcomeUnknown when the chain does not, RpcFailure."""
    if deposit.network not in networks():
        raise OutcomeUnknown("the settings do not know this network")
    receipt = rpc_of(deposit.network).call("eth_getTransactionReceipt", [deposit.transaction_hash])
    logs = receipts.logs_of(receipt) if isinstance(receipt, dict) else []
    found = next((one for one in logs if one.log_index == deposit.log_index), None)
    if found is None or found.topics[0] != tokens.TRANSFER_TOPIC or movement_of(found).amount != deposit.amount:
        raise OutcomeUnknown("the chain does not show this deposit any more")
    return movement_of(found).sender


def request_return(journal_id: str, *, maker: str, reason: str) -> str:
    """Ask that a deposit goes back to its sender; the approval's id. Raises NoSuchDeposit, RpcFailure."""
    deposit = _deposit(journal_id)
    wallet = sender_of(deposit)
    with transaction.atomic():
        approval_id = corrections.request_approval(
            kind=JournalKind.SUSPENSE_MATCHED,
            target=deposit.journal_id,
            denomination=deposit.denomination,
            amount=deposit.amount,
            destination=wallet,
            reason=reason,
            maker=maker,
        )
        facts = {"approval_id": approval_id, "wallet": wallet, "amount": str(deposit.amount)}
        audit.record(maker, action="suspense.return_requested", subject=journal_id, reason=reason, facts=facts)
    return approval_id


def return_deposit(journal_id: str, *, approval_id: str, checker: str) -> Refund | None:
    """Grant what somebody else asked for, match the deposit and begin its refund; None when that waits for the sweep.

    Raises NoSuchDeposit, ApprovalInvalid (own request, changed, expired), RpcFailure. What is matched stays matched: a
    refund that cannot be begun now is an `owed` note, which is paid out when it is final.
    """
    deposit = _deposit(journal_id)
    wallet = sender_of(deposit)
    corrections.grant_approval(approval_id=approval_id, checker=checker)
    treasury_moves.match_deposit(
        journal_id=deposit.journal_id,
        wallet=wallet,
        denomination=deposit.denomination,
        amount_micro_usdc=deposit.amount,
        approval_id=approval_id,
    )
    audit.record(checker, action="suspense.returned", subject=journal_id, facts={"approval_id": approval_id})
    return begin_refund(journal_id, wallet=wallet)


def begin_refund(journal_id: str, *, wallet: str) -> Refund | None:
    """Pay a matched deposit's note out, if it is final and refunds are open. Raises RpcFailure."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, remaining FROM billing.credit_note WHERE source = %s AND remaining > 0", [journal_id]
        )
        note = cursor.fetchone()
    if note is None:
        return None
    wish = refunds.Wish(
        wallet, account_id_of_wallet(wallet), amount_micro_usdc=note[1], note_id=note[0], cause=CAUSE_SUSPENSE
    )
    try:
        return refunds.request(wish)
    except (refunds.RefundRefused, AccountsError) as refused:
        log.info(names.REFUND_REFUSED, journal_id=journal_id, code=refused.code)
        return None


def _deposit(journal_id: str) -> Deposit:
    found = _deposits(journal_id, 1)
    if not found or not journal_id:
        raise NoSuchDeposit(journal_id)
    return found[0]


def _deposits(journal_id: str, limit: int) -> list[Deposit]:
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, {"id": journal_id, "limit": limit})
        return [Deposit(*row) for row in cursor.fetchall()]
