"""Journals: what is appended to the ledger, and what it answers.

A journal names its kind, its idempotency key, its postings, and what moves with them in the same moment: a billing
entry, rows of other apps, credit notes. Its postings sum to zero in each denomination. Same key and same body is the
same journal and gets the first result; same key and another body is refused. Journals marked `linked` stand or fall
together with the next one.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from billing.domain.errors import InvalidAmount, InvalidJournal
from billing.domain.lifecycle import EntryState
from billing.domain.money import LARGEST

KEY_BYTES_MAX = 255
POSTINGS_MAX = 100  # a journal is one event, not an import


class JournalKind(StrEnum):
    X402_SETTLED = "x402_settled"
    BILLING_RESERVE = "billing_reserve"
    BILLING_RELEASE = "billing_release"
    BILLING_COMMIT = "billing_commit"
    BILLING_VOID = "billing_void"
    CREDIT_NOTE_OWED = "credit_note_owed"
    CREDIT_NOTE_SPENT = "credit_note_spent"
    CREDIT_NOTE_EXPIRED = "credit_note_expired"
    CREDIT_NOTE_REFUND_STARTED = "credit_note_refund_started"
    CREDIT_NOTE_REFUND_PAID = "credit_note_refund_paid"
    CREDIT_NOTE_REFUND_FAILED = "credit_note_refund_failed"
    NOTE_CLAWED_BACK = "note_clawed_back"
    NOTES_FINAL = "notes_final"
    CREDIT_MINT = "credit_mint"
    SERVED_DEFERRED = "served_deferred"
    DEFERRED_SETTLED = "deferred_settled"
    RECEIVABLE_WRITTEN_OFF = "receivable_written_off"
    OVERRUN = "overrun"
    REFUND_FLOAT_TOPPED_UP = "refund_float_topped_up"
    SETTLEMENT_REVERSED = "settlement_reversed"
    GAS_SPENT = "gas_spent"
    RELAYER_FUNDED = "relayer_funded"
    DEPOSIT_UNMATCHED = "deposit_unmatched"
    SUSPENSE_MATCHED = "suspense_matched"
    MANUAL_CREDIT = "manual_credit"
    OPENING_BALANCE = "opening_balance"
    REVERSAL = "reversal"
    STATE_CHANGE = "state_change"
    FINALIZE_DEFERRED = "finalize_deferred"
    FENCE_RESET = "fence_reset"
    STREAM_OPENED = "stream_opened"
    PERIOD_CLOSED = "period_closed"


class ResultStatus(StrEnum):
    OK = "ok"
    EXISTS = "exists"
    KEY_REUSED = "key_reused"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    CREDIT_NOTE_CAP_EXCEEDED = "credit_note_cap_exceeded"
    BALANCE_CAP_EXCEEDED = "balance_cap_exceeded"
    BALANCE_OUT_OF_RANGE = "balance_out_of_range"
    WRONG_STATE = "wrong_state"
    TRANSITION_REFUSED = "transition_refused"
    POSTING_REFUSED = "posting_refused"
    UNBALANCED = "unbalanced"
    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_INVALID = "approval_invalid"
    PERIOD_CLOSED = "period_closed"
    EFFECTIVE_AT_OUT_OF_RANGE = "effective_at_out_of_range"
    LINKED_FAILED = "linked_failed"
    STALE = "stale_token"
    REFUSED_BY_DATABASE = "refused_by_database"


def _require_text(name: str, value: object, *, bytes_max: int) -> None:
    if type(value) is not str or not value or len(value) > bytes_max or not value.isprintable():
        raise InvalidJournal(field=name, value=repr(value)[:80])


def _require_positive(value: object) -> None:
    if type(value) is not int or not 0 < value <= LARGEST:
        raise InvalidAmount(value=repr(value)[:80])


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of a journal: credit positive, debit negative, never zero. Raises InvalidAmount, InvalidJournal."""

    account: str
    denomination: str
    amount: int

    def __post_init__(self) -> None:
        amount = self.amount
        if type(amount) is not int or amount == 0 or not -LARGEST <= amount <= LARGEST:
            raise InvalidAmount(value=repr(amount)[:80])
        account, denomination = self.account, self.denomination
        if type(account) is not str or not account.isprintable() or not 3 <= len(account) <= 300:
            raise InvalidJournal(field="account", value=repr(account)[:80])
        if type(denomination) is not str or not denomination.isprintable() or not 3 <= len(denomination) <= 120:
            raise InvalidJournal(field="denomination", value=repr(denomination)[:80])


@dataclass(frozen=True, slots=True)
class Transition:
    """A guarded change of one row of a registered table; a miss refuses the journal with `wrong_state`."""

    table: str
    row_id: str
    from_state: str
    to_state: str
    attempt: int | None = None
    changes: Mapping[str, str | int | bool | None] = field(default_factory=dict)

    def as_option(self) -> dict[str, object]:
        """The transition as the append function reads it."""
        option: dict[str, object] = {
            "table": self.table,
            "id": self.row_id,
            "from": self.from_state,
            "to": self.to_state,
        }
        if self.attempt is not None:
            option["attempt"] = self.attempt
        if self.changes:
            option["changes"] = dict(self.changes)
        return option


@dataclass(frozen=True, slots=True)
class EntryMove:
    """One step of a billing entry. The step from IDLE makes the row; its hold is what the journal's postings hold.

    A step from a state to itself only requires the state: it ties postings to an entry without moving it.
    """

    entry_id: str
    from_state: EntryState
    to_state: EntryState
    account_id: str = ""
    wallet: str = ""
    funding: str = ""
    payment_id: str = ""
    cost: int | None = None
    reason: str = ""
    spend_key: str | None = None
    hold_seconds: int | None = None
    expired: bool | None = None  # a sweep's release: refused unless the hold has expired and nobody keeps it


@dataclass(frozen=True, slots=True)
class NoteIssue:
    """A new note; the database's clock decides when it expires. The id is not part of the journal's body."""

    note_id: str
    wallet: str
    kind: str
    amount: int
    source: str
    lifetime_seconds: int | None = None

    def __post_init__(self) -> None:
        _require_positive(self.amount)


@dataclass(frozen=True, slots=True)
class NoteSpend:
    """Money taken from a wallet's notes, oldest first, or from one named note, or from those of one source.

    `reason` is spent, expired, refunded or clawed_back: it decides which notes can be taken from.
    """

    wallet: str
    amount: int
    spend_id: str
    reason: str = "spent"
    note_id: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        _require_positive(self.amount)


@dataclass(frozen=True, slots=True)
class Journal:
    """One event of the ledger. Raises InvalidJournal when it breaks a rule that needs no database."""

    kind: JournalKind
    key: str
    postings: Sequence[Posting] = ()
    transitions: Sequence[Transition] = ()
    entry_moves: Sequence[EntryMove] = ()
    notes_issued: Sequence[NoteIssue] = ()
    notes_spent: Sequence[NoteSpend] = ()
    correlation_id: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    effective_at: datetime | None = None
    linked: bool = False
    approval_id: str | None = None
    reverses: str | None = None
    final_sources: Sequence[str] = ()

    def __post_init__(self) -> None:
        _require_text("key", self.key, bytes_max=KEY_BYTES_MAX)
        postings = self.postings
        if len(postings) == 2:
            first, second = postings
            is_balanced = first.amount == -second.amount and first.denomination == second.denomination
        else:
            is_balanced = len(postings) <= POSTINGS_MAX and not any(_sums(postings).values())
        if not is_balanced:
            raise InvalidJournal(field="postings", key=self.key)
        if not self.correlation_id.isprintable() or len(self.correlation_id) > KEY_BYTES_MAX:
            raise InvalidJournal(field="correlation_id", key=self.key)
        if self.effective_at is not None and self.effective_at.tzinfo is None:
            raise InvalidJournal(field="effective_at", key=self.key)
        if self.entry_moves:
            _require_path(self.entry_moves)


def _sums(postings: Sequence[Posting]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for posting in postings:
        sums[posting.denomination] = sums.get(posting.denomination, 0) + posting.amount
    return sums


def _require_path(moves: Sequence[EntryMove]) -> None:
    """The moves of a journal are steps of one entry, each beginning where the one before ended."""
    for move, following in itertools.pairwise(moves):
        if following.entry_id != move.entry_id or following.from_state != move.to_state:
            raise InvalidJournal(field="entry_moves", entry_id=following.entry_id)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one journal. For `exists` the ids, sequence and hash are those of the first append."""

    status: ResultStatus
    journal_id: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)
    stream: int | None = None
    sequence: int | None = None
    hash: bytes | None = None

    @property
    def is_written(self) -> bool:
        """Whether the journal is in the ledger, by this call or an earlier one."""
        return self.status is ResultStatus.OK or self.status is ResultStatus.EXISTS


def body_hash(parts: Sequence[str]) -> str:
    """The hash that tells whether two journals of one key are the same: sha256 over length-prefixed parts, as hex.

    >>> body_hash(["ab", "c"]) == body_hash(["a", "bc"])
    False
    """
    return hashlib.sha256("".join([f"{len(part)}:{part}" for part in parts]).encode()).hexdigest()
