"""What can be asked of the ledger, as values: to be repeated, contradicted, sent to another process, and modelled."""

import json
from dataclasses import asdict, dataclass, replace

from tests.factories.ledger import PaidCall


@dataclass(frozen=True)
class Owner:
    account_id: str
    wallet: str


@dataclass(frozen=True)
class Mint:
    key: str
    owner: Owner
    amount: int


@dataclass(frozen=True)
class Reserve:
    entry_id: str
    owner: Owner
    amount: int
    hold_seconds: int


@dataclass(frozen=True)
class Commit:
    entry_id: str
    owner: Owner
    held: int
    cost: int


@dataclass(frozen=True)
class Release:
    entry_id: str
    owner: Owner
    held: int
    reason: str = "user_cancel"


@dataclass(frozen=True)
class Settle:
    call: PaidCall


@dataclass(frozen=True)
class Finalize:
    call: PaidCall
    cost: int


@dataclass(frozen=True)
class Owe:
    call: PaidCall
    reason: str = "failed"


@dataclass(frozen=True)
class Spend:
    call: PaidCall
    spend_key: str


@dataclass(frozen=True)
class MarkFinal:
    source: str


@dataclass(frozen=True)
class StartRefund:
    refund_id: str
    owner: Owner
    amount: int


@dataclass(frozen=True)
class EndRefund:
    refund_id: str
    owner: Owner
    amount: int
    is_paid: bool


@dataclass(frozen=True)
class Void:
    entry_id: str
    amount: int
    approval_id: str


@dataclass(frozen=True)
class SweepHolds:
    pass


@dataclass(frozen=True)
class SweepNotes:
    pass


Operation = (
    Mint
    | Reserve
    | Commit
    | Release
    | Settle
    | Finalize
    | Owe
    | Spend
    | MarkFinal
    | StartRefund
    | EndRefund
    | Void
    | SweepHolds
    | SweepNotes
)


def with_another_body(operation: Operation) -> Operation:
    """The same key asking for something else; a call that has no body but its key stays as it is."""
    match operation:
        case Mint() | Reserve() | StartRefund() | Void():
            return replace(operation, amount=operation.amount + 1)
        case Commit() | Finalize():
            return replace(operation, cost=operation.cost + 1)
        case Release() | Owe():
            return replace(operation, reason="another_reason")
        case Settle() | Spend():
            return replace(operation, call=replace(operation.call, amount=operation.call.amount + 1))
        case EndRefund():
            return replace(operation, is_paid=not operation.is_paid)
    return operation


def as_json(operation: Operation) -> str:
    """An operation as one line of text, for another process."""
    return json.dumps([type(operation).__name__, asdict(operation)])


def from_json(line: str) -> Operation:
    """What `as_json` wrote."""
    name, fields = json.loads(line)
    if "owner" in fields:
        fields["owner"] = Owner(**fields["owner"])
    if "call" in fields:
        fields["call"] = PaidCall(**fields["call"])
    [kind] = [kind for kind in Operation.__args__ if kind.__name__ == name]
    return kind(**fields)
