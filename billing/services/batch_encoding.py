"""How journals travel to the append function: parallel arrays, and one JSON document for what few journals have.

A journal is encoded by the thread that appends it; whoever leads a batch only joins what is encoded. Account names
are sent once per batch and postings point at them, so that the database looks each account up once. Arrays travel as
texts that the database splits, because building them element by element costs more than all the rest here.
"""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from billing.domain.journal import EntryMove, Journal, NoteIssue, NoteSpend, body_hash

EMPTY: Final = "{}"
NO_OPTION: Final = "null"
ENCODER: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True, allow_nan=False)
SEPARATOR: Final = "\x1f"  # never inside a text: names and keys are printable, JSON escapes it
ENTRY_FACTS: Final = (
    "account_id",
    "wallet",
    "funding",
    "payment_id",
    "cost",
    "reason",
    "spend_key",
    "hold_seconds",
    "expired",
)
DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAIRS: Final = [high + low for high in DIGITS for low in DIGITS]


@dataclass(slots=True)
class EncodedJournal:
    """A journal as the leader needs it."""

    key: str
    body_hash: str
    kind: str
    correlation_id: str
    metadata: str
    option: str
    is_linked: bool
    accounts: list[tuple[str, str]]
    amounts: list[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Journals with the ids they get if they are written, and the arguments of billing.append_batch after the fence."""

    journals: Sequence[EncodedJournal]
    journal_ids: list[str]
    arguments: tuple[str | None, ...]


def encode(journal: Journal) -> EncodedJournal:
    """Encode one journal and hash its body: what the caller sent, without ids made for this attempt (rule R28)."""
    kind = journal.kind.value
    metadata = _dump(journal.metadata) if journal.metadata else EMPTY
    parts = [kind, journal.key, metadata]
    accounts = []
    amounts = []
    for posting in journal.postings:
        account, denomination, amount = posting.account, posting.denomination, posting.amount
        accounts.append((account, denomination))
        amounts.append(amount)
        parts += (account, denomination, str(amount))
    option = NO_OPTION
    if _has_option(journal):
        body = _option_of(journal)
        option = _dump(body)
        parts.append(option if "issues" not in body else _dump(_without_new_ids(body)))
    return EncodedJournal(
        key=journal.key,
        body_hash=body_hash(parts),
        kind=kind,
        correlation_id=journal.correlation_id,
        metadata=metadata,
        option=option,
        is_linked=journal.linked,
        accounts=accounts,
        amounts=amounts,
    )


def batch_of(journals: Sequence[EncodedJournal]) -> Batch:
    """Join encoded journals into one call."""
    places: dict[tuple[str, str], int] = {}
    posting_accounts: list[int] = []
    amounts: list[int] = []
    for journal in journals:
        for account in journal.accounts:
            posting_accounts.append(places.setdefault(account, len(places) + 1))
        amounts += journal.amounts
    options = correlations = None
    if any(journal.option is not NO_OPTION for journal in journals):
        options = "[" + ",".join([journal.option for journal in journals]) + "]"
    if any(journal.correlation_id for journal in journals):
        correlations = SEPARATOR.join([journal.correlation_id for journal in journals])
    journal_ids = new_journal_ids(len(journals))
    arguments = (
        SEPARATOR.join(journal_ids),
        SEPARATOR.join([journal.key for journal in journals]),
        '{"\\\\x' + '","\\\\x'.join([journal.body_hash for journal in journals]) + '"}',
        SEPARATOR.join([journal.kind for journal in journals]),
        _numbers([len(journal.amounts) for journal in journals]),
        correlations,
        SEPARATOR.join([journal.metadata for journal in journals]),
        SEPARATOR.join([name for name, _ in places]),
        SEPARATOR.join([denomination for _, denomination in places]),
        _numbers(posting_accounts),
        _numbers(amounts),
        options,
    )
    return Batch(journals, journal_ids, arguments)


def new_journal_ids(count: int) -> list[str]:
    """Ids of one batch: ULIDs that follow each other, because their last 20 bits count.

    >>> first, second = new_journal_ids(2)
    >>> first[:-4] == second[:-4], first < second
    (True, True)
    """
    number = time.time_ns() // 1_000_000 << 60 | secrets.randbits(60)
    digits = []
    for _ in range(11):
        number, pair = divmod(number, 1024)
        digits.append(PAIRS[pair])
    prefix = "jrn_" + "".join(reversed(digits))
    return [prefix + PAIRS[place >> 10] + PAIRS[place & 1023] for place in range(count)]


def _numbers(numbers: list[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


def _dump(value: object) -> str:
    return ENCODER.encode(value)


def _has_option(journal: Journal) -> bool:
    return bool(
        journal.entry_moves
        or journal.transitions
        or journal.notes_issued
        or journal.notes_spent
        or journal.linked
        or journal.effective_at is not None
        or journal.approval_id is not None
        or journal.reverses is not None
        or journal.final_sources
    )


def _option_of(journal: Journal) -> dict[str, object]:
    option: dict[str, object] = {}
    if journal.entry_moves:
        option["entry"] = _entry_of(journal.entry_moves, journal.correlation_id)
    if journal.transitions:
        option["transitions"] = [transition.as_option() for transition in journal.transitions]
    if journal.notes_issued:
        option["issues"] = [_issue_of(note) for note in journal.notes_issued]
    if journal.notes_spent:
        option["takes"] = [_take_of(spend) for spend in journal.notes_spent]
    if journal.linked:
        option["linked"] = True
    if journal.effective_at is not None:
        option["effective_at"] = journal.effective_at.isoformat()
    if journal.approval_id is not None:
        option["approval"] = journal.approval_id
    if journal.reverses is not None:
        option["reverses"] = journal.reverses
    if journal.final_sources:
        option["finals"] = list(journal.final_sources)
    return option


def _entry_of(moves: Sequence[EntryMove], correlation_id: str) -> dict[str, object]:
    """One path through the lifecycle; facts named by several moves are those of the last that names them."""
    first = moves[0]
    entry: dict[str, object] = {
        "id": first.entry_id,
        "path": [first.from_state.value, *[move.to_state.value for move in moves]],
        "correlation_id": correlation_id,
    }
    for move in moves:
        for name in ENTRY_FACTS:
            value = getattr(move, name)
            if value is not None and value != "":
                entry[name] = value
    return entry


def _issue_of(note: NoteIssue) -> dict[str, object]:
    issue: dict[str, object] = {
        "id": note.note_id,
        "wallet": note.wallet,
        "kind": str(note.kind),
        "amount": note.amount,
        "source": note.source,
    }
    if note.lifetime_seconds is not None:
        issue["lifetime"] = note.lifetime_seconds
    return issue


def _take_of(spend: NoteSpend) -> dict[str, object]:
    take: dict[str, object] = {
        "wallet": spend.wallet,
        "amount": spend.amount,
        "reason": spend.reason,
        "spend_id": spend.spend_id,
    }
    if spend.note_id is not None:
        take["note_id"] = spend.note_id
    if spend.source is not None:
        take["source"] = spend.source
    return take


def _without_new_ids(option: dict[str, object]) -> dict[str, object]:
    """The option without what is not the caller's: ids of new notes, and how long notes live by today's settings."""
    body = dict(option)
    issues = body.get("issues")
    if isinstance(issues, list):
        body["issues"] = [
            {name: value for name, value in issue.items() if name not in ("id", "lifetime")} for issue in issues
        ]
    return body
