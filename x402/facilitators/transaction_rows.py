"""The relayer's transactions as rows: choose due payments, store the signed bytes, follow them until they are mined.

Storing is one database transaction: it proves the lease, locks the due payments, keeps the signed bytes with their
account nonce, links each payment to the transaction and moves it to `settling`. Only then may the bytes be sent (R25).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import connection, transaction

from x402.chain.transactions import Fees, SignedTransaction
from x402.facilitators import due_payments
from x402.facilitators.due_payments import DuePayment, DueRow, due_payment, together
from x402.facilitators.relayer_lease import LEASE_SECONDS, holder
from x402.models import ChainTransaction, Relayer, SettlementAttempt, TransactionState

MINIMUM_LIFETIME_SECONDS = 6  # below this an authorization may expire between signing and inclusion

_DUE = """
WITH lease AS (
  SELECT 1 AS held FROM x402_relayer
  WHERE network = %(network)s AND address = %(relayer)s AND holder = %(holder)s AND epoch = %(epoch)s FOR UPDATE
), due AS (
SELECT <columns> FROM <table>
WHERE network = %(network)s AND EXISTS (SELECT FROM lease) AND <is due> <and ours to take>
  AND (facilitator = %(relayer)s OR (facilitator = '' AND NOT %(is_retired)s))
  AND valid_before > extract(epoch FROM clock_timestamp()) + %(lifetime)s
ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
SELECT due.* FROM lease LEFT JOIN due ON true
"""
_ANY_DUE = "SELECT EXISTS (SELECT FROM <table> WHERE network = %s AND <is due>)"
_STORE = """
WITH stored AS (
  INSERT INTO x402_chaintransaction (network, relayer, nonce, transaction_hash, raw, state, gas_limit,
    max_fee_per_gas_wei, max_priority_fee_per_gas_wei, payment_count, block_hash, created_at, broadcast_at)
  VALUES (%(network)s, %(relayer)s, %(nonce)s, %(hash)s, %(raw)s, 'broadcast', %(gas_limit)s,
    %(max_fee)s, %(priority_fee)s, cardinality(%(ids)s::text[]), '', clock_timestamp(), clock_timestamp())
  RETURNING id
), <moved>, advanced AS (
  UPDATE x402_relayer SET next_nonce = %(nonce)s + 1,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
  WHERE network = %(network)s AND address = %(relayer)s
)
SELECT (SELECT id FROM stored), (SELECT count(*) FROM moved)
"""


@dataclass(frozen=True, slots=True)
class Lead:
    """Who writes with which key, and whether payments that a remote facilitator may still take are left to it.

    A retired key carries only what was signed for it (R2).
    """

    network: str
    relayer: str
    epoch: int
    leaves_to_remote: bool = False
    is_retired: bool = False


class LeaseLost(Exception):
    """Raised when another process took the relayer key over while a batch was being made. Nothing was stored."""


@dataclass(slots=True)
class PendingTransaction:
    """A stored transaction this process follows. `is_broadcast` is this process's knowledge, not a promise."""

    row_id: int
    nonce: int
    transaction_hash: str
    raw: bytes
    payments: tuple[DuePayment, ...]
    is_broadcast: bool = False
    block_hash: str = ""
    block_number: int | None = None
    succeeded: bool | None = None
    gas_used: int = 0
    fee_wei: int = field(default=0)

    def note_receipt(self, receipt: Mapping[str, object]) -> None:
        """Keep what the receipt says of the transaction itself. Units: wei; OP-stack `l1Fee` is part of the fee."""
        self.block_hash = str(receipt["blockHash"])
        self.block_number = int(str(receipt["blockNumber"]), 16)
        self.succeeded = receipt.get("status") == "0x1"
        self.gas_used = int(str(receipt.get("gasUsed", "0x0")), 16)
        price = int(str(receipt.get("effectiveGasPrice", "0x0")), 16)
        self.fee_wei = self.gas_used * price + int(str(receipt.get("l1Fee") or "0x0"), 16)


@dataclass(frozen=True, slots=True)
class DueQueue:
    """A table of payments that this key carries to the chain: which of them are due, and how they are moved.

    All parts are SQL of this package. `is_ours_to_take` narrows what one of several facilitators may take; `moved` ends
    with a table expression of that name, one row for each payment that became `settling`.
    """

    table: str
    columns: str
    is_due: str
    moved: str
    is_ours_to_take: str = ""

    def is_anything_due(self, network: str) -> bool:
        """Whether some process stored a payment that waits to be settled. Locks nothing."""
        with connection.cursor() as cursor:
            cursor.execute(self._sql(_ANY_DUE), [network])
            return bool(cursor.fetchone()[0])

    def store_batch(
        self, lead: Lead, *, limit: int, sign: Callable[[Sequence[DuePayment]], SignedTransaction]
    ) -> PendingTransaction | None:
        """Take up to `limit` due payments into one stored, signed transaction; None when nothing is due.

        Locks the relayer row, then the payment rows in order of age. Raises LeaseLost.
        """
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute(
                self._sql(_DUE),
                {
                    "network": lead.network,
                    "relayer": lead.relayer,
                    "holder": holder(),
                    "epoch": lead.epoch,
                    "leaves_to_remote": lead.leaves_to_remote,
                    "is_retired": lead.is_retired,
                    "lifetime": MINIMUM_LIFETIME_SECONDS,
                    "limit": limit,
                },
            )
            rows = cursor.fetchall()
            if not rows:
                raise LeaseLost
            due = together([DueRow(*row) for row in rows if row[0] is not None])
            if not due:
                return None
            signed = sign(due)
            cursor.execute(
                self._sql(_STORE),
                {
                    "network": lead.network,
                    "relayer": lead.relayer,
                    "nonce": signed.nonce,
                    "hash": signed.transaction_hash,
                    "raw": signed.raw,
                    "gas_limit": signed.gas_limit,
                    "max_fee": signed.max_fee_per_gas_wei,
                    "priority_fee": signed.max_priority_fee_per_gas_wei,
                    "ids": [payment.payment_id for payment in due],
                    "lease_seconds": LEASE_SECONDS,
                },
            )
            row_id, moved = cursor.fetchone()
            if moved != len(due):
                raise LeaseLost
        return PendingTransaction(row_id, signed.nonce, signed.transaction_hash, signed.raw, tuple(due))

    def _sql(self, template: str) -> str:
        parts = {
            "<columns>": self.columns,
            "<table>": self.table,
            "<is due>": self.is_due,
            "<and ours to take>": f"AND {self.is_ours_to_take}" if self.is_ours_to_take else "",
            "<moved>": self.moved,
        }
        for place, part in parts.items():
            template = template.replace(place, part)
        return template


OUR_PAYMENTS = DueQueue(
    table="x402_payment",
    columns=due_payments.COLUMNS,
    is_due=due_payments.IS_DUE,
    is_ours_to_take="""NOT EXISTS (SELECT FROM x402_remoteattempt AS attempt
    WHERE attempt.payment_id = x402_payment.id AND attempt.released_at IS NULL)
  AND (NOT %(leaves_to_remote)s OR method <> 'eip3009'
    OR EXISTS (SELECT FROM x402_remoteattempt AS attempt WHERE attempt.payment_id = x402_payment.id))""",
    moved="""linked AS (
  INSERT INTO x402_settlementattempt (payment_id, transaction_id, position, created_at)
  SELECT member.id, stored.id, member.position - 1, clock_timestamp()
  FROM stored, unnest(%(ids)s::text[]) WITH ORDINALITY AS member(id, position)
), moved AS (
  UPDATE x402_payment SET state = 'settling', transaction_hash = %(hash)s, updated_at = clock_timestamp(),
    first_broadcast_at = coalesce(first_broadcast_at, clock_timestamp()),
    lease_until = CASE WHEN work = 'answered' THEN clock_timestamp() + interval '2 minutes' ELSE lease_until END
  WHERE id = ANY(%(ids)s::text[]) AND state IN ('verified', 'settlement_unknown') RETURNING id
)""",
)


def pending_of(
    network: str, relayer: str, *, others: Callable[[Sequence[ChainTransaction]], Mapping[int, tuple[DuePayment, ...]]]
) -> list[PendingTransaction]:
    """Every stored transaction of this key that is not known to be mined, oldest nonce first.

    `others` names whom a transaction carries that carries none of our payments.
    """
    rows = list(
        ChainTransaction.objects.filter(
            network=network, relayer=relayer, state__in=[TransactionState.STORED, TransactionState.BROADCAST]
        ).order_by("nonce")
    )
    attempts = SettlementAttempt.objects.filter(transaction__in=rows).select_related("payment").order_by("position")
    members: dict[int, list[DuePayment]] = {}
    for attempt in attempts:
        members.setdefault(attempt.transaction_id, []).append(due_payment(attempt.payment))
    carried = {row_id: tuple(payments) for row_id, payments in members.items()} | dict(others(rows))
    return [
        PendingTransaction(row.pk, row.nonce, row.transaction_hash, bytes(row.raw), carried.get(row.pk, ()))
        for row in rows
    ]


def reopen(network: str, relayer: str, *, from_nonce: int) -> int:
    """Follow mined transactions again that the chain does not count any more; how many."""
    return ChainTransaction.objects.filter(
        network=network, relayer=relayer, nonce__gte=from_nonce, state=TransactionState.MINED
    ).update(state=TransactionState.BROADCAST, block_number=None, block_hash="", succeeded=None)


def next_nonce_of(network: str, relayer: str) -> int:
    """The account nonce our rows expect next."""
    return Relayer.objects.get(network=network, address=relayer).next_nonce


def fees_of(one: PendingTransaction) -> Fees:
    """What this stored transaction offers per gas. Units: wei."""
    row = ChainTransaction.objects.only("max_fee_per_gas_wei", "max_priority_fee_per_gas_wei").get(pk=one.row_id)
    return Fees(int(row.max_fee_per_gas_wei), int(row.max_priority_fee_per_gas_wei))


def has_sent_before(network: str, relayer: str) -> bool:
    """Whether this database knows any transaction of this key; a key that is new to it may have a past elsewhere."""
    return ChainTransaction.objects.filter(network=network, relayer=relayer).exists()


def mark_mined(mined: Sequence[PendingTransaction]) -> None:
    """Record block, gas and fee of these transactions."""
    for one in mined:
        ChainTransaction.objects.filter(pk=one.row_id).update(
            state=TransactionState.MINED,
            block_hash=one.block_hash,
            block_number=one.block_number,
            succeeded=one.succeeded,
            gas_used=one.gas_used,
            fee_wei=one.fee_wei,
        )
