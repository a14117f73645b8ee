"""The ledger in plain Python: what every call must answer, and what the books hold after it.

The model knows no database and no clock. It applies one call at a time; calls that ran at the same time are right
when some order of them, applied here, gives every answer that was heard and the very state that is stored.
"""

import copy
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from billing.domain import accounts
from billing.domain.accounts import PREPAID
from tests.factories.ledger import TREASURY, USDC, PaidCall
from tests.properties.ledger_operations import (
    Commit,
    EndRefund,
    Finalize,
    MarkFinal,
    Mint,
    Operation,
    Owe,
    Owner,
    Release,
    Reserve,
    Settle,
    Spend,
    StartRefund,
    SweepHolds,
    SweepNotes,
    Void,
)

EXCHANGE = accounts.exchange(source=USDC, target=PREPAID)
HELD, DONE, RELEASED = "RESERVE_HELD", "FINALIZE_ACKED", "RELEASED"


@dataclass
class Entry:
    owner: Owner
    funding: str
    held: int
    state: str = HELD
    cost: int | None = None
    revenue: int = 0
    has_expired: bool = False
    source: str = ""
    taken: list[list[int]] = field(default_factory=list)  # [place of the note, how much], in the order taken

    @property
    def version(self) -> tuple[str, int, int]:
        return self.state, self.held, self.revenue


@dataclass
class Note:
    kind: str
    amount: int
    remaining: int
    source: str
    has_expired: bool = False
    is_refundable: bool = False


class Model:
    """The books of some owners, and what the accounts of the system gained since the model began."""

    def __init__(self, owners: Sequence[Owner]) -> None:
        self.owners = list(owners)
        self.balances: Counter[tuple[str, str]] = Counter()
        self.notes: dict[str, list[Note]] = {owner.wallet: [] for owner in owners}
        self.entries: dict[str, Entry] = {}
        self.calls: dict[str, PaidCall] = {}
        self.rows: dict[str, str] = {}
        self.refunds: dict[str, StartRefund] = {}
        self.approvals: dict[str, tuple[str, int, tuple[str, int, int]]] = {}
        self.keys: dict[str, object] = {}
        self.used_approvals: set[str] = set()
        self.change_expires_at_once = False

    def copy(self) -> "Model":
        """The same books again, to try an order of calls on."""
        other = copy.copy(self)
        other.balances = self.balances.copy()
        other.notes = {wallet: [copy.copy(note) for note in notes] for wallet, notes in self.notes.items()}
        other.entries = {name: copy.copy(entry) for name, entry in self.entries.items()}
        for entry in other.entries.values():
            entry.taken = [taken.copy() for taken in entry.taken]
        other.calls, other.rows, other.refunds = self.calls.copy(), self.rows.copy(), self.refunds.copy()
        other.approvals, other.keys = self.approvals.copy(), self.keys.copy()
        other.used_approvals = self.used_approvals.copy()
        return other

    def apply(self, operation: Operation) -> Any:
        """What the ledger must answer; the books are as it leaves them."""
        return getattr(self, f"_{type(operation).__name__.lower()}")(operation)

    def snapshot(self) -> dict[str, Any]:
        """Everything that can be read back, in the form that the reader of the database uses."""
        return {
            "balances": {place: amount for place, amount in self.balances.items() if amount},
            "notes": {
                wallet: [(n.kind, n.amount, n.remaining, n.has_expired, n.is_refundable) for n in notes]
                for wallet, notes in self.notes.items()
            },
            "entries": {name: (*entry.version, entry.cost) for name, entry in self.entries.items()},
            "rows": dict(self.rows),
        }

    def _known(self, key: str, body: object) -> str:
        """What the key says of a call that may have been made before; empty for a new one."""
        if key not in self.keys:
            return ""
        return "exists" if self.keys[key] == body else "key_reused"

    def _move(self, denomination: str, *lines: tuple[str, int]) -> None:
        assert sum(amount for _, amount in lines) == 0
        for account, amount in lines:
            self.balances[account, denomination] += amount

    def _mint(self, call: Mint) -> str:
        key = f"mint:{call.key}"
        known = self._known(key, call)
        if not known:
            self.keys[key] = call
            self._move(USDC, (TREASURY, -call.amount), (EXCHANGE, call.amount))
            self._move(PREPAID, (EXCHANGE, -call.amount), (accounts.available(call.owner.account_id), call.amount))
        return known or "ok"

    def _reserve(self, call: Reserve) -> str:
        key = f"reserve:{call.entry_id}"
        available, held = accounts.available(call.owner.account_id), accounts.held(call.owner.account_id)
        known = self._known(key, call)
        if known:
            return known
        if self.balances[available, PREPAID] < call.amount:
            return "insufficient_funds"
        self.keys[key] = call
        self._move(PREPAID, (available, -call.amount), (held, call.amount))
        self.entries[call.entry_id] = Entry(call.owner, "prepaid", call.amount, has_expired=call.hold_seconds == 0)
        return "ok"

    def _commit(self, call: Commit) -> str:
        key = f"commit:{call.entry_id}"
        known = self._known(key, call)
        if known:
            return known
        entry = self.entries[call.entry_id]
        if entry.state != HELD:
            return "wrong_state"
        self.keys[key] = call
        self._charge(entry, cost=call.cost, denomination=PREPAID, change=accounts.available(call.owner.account_id))
        return "ok"

    def _charge(self, entry: Entry, *, cost: int, denomination: str, change: str) -> int:
        charged = min(cost, entry.held)
        entry.state, entry.cost, entry.revenue = DONE, cost, charged
        rest = entry.held - charged
        held = accounts.held(entry.owner.account_id)
        self._move(denomination, (held, -entry.held), (accounts.REVENUE, charged), (change, rest))
        self._move(denomination, (accounts.OVERRUNS, charged - cost), (accounts.REVENUE, cost - charged))
        return rest

    def _release(self, call: Release) -> str:
        return self._end_hold(call.entry_id, call)

    def _sweepholds(self, _call: SweepHolds) -> str:
        for entry_id, entry in self.entries.items():
            if entry.funding == "prepaid" and entry.state == HELD and entry.has_expired:
                self._end_hold(entry_id, "swept")
        return "swept"

    def _end_hold(self, entry_id: str, body: object) -> str:
        key = f"release:{entry_id}"
        known = self._known(key, body)
        if known:
            return known
        entry = self.entries[entry_id]
        if entry.state != HELD:
            return "wrong_state"
        self.keys[key] = body
        entry.state = RELEASED
        owner = entry.owner.account_id
        self._move(PREPAID, (accounts.held(owner), -entry.held), (accounts.available(owner), entry.held))
        return "ok"

    def _settle(self, call: Settle) -> str:
        paid = call.call
        key = f"settle:{paid.tx_hash}"
        known = self._known(key, call)
        if known:
            return known
        if paid.entry_id in self.entries or self.rows[paid.payment_id] != "settling":
            return "wrong_state"
        self.keys[key] = call
        self._move(USDC, (TREASURY, -paid.amount), (accounts.held(paid.account_id), paid.amount))
        self._hold(paid, "x402")
        self.rows[paid.payment_id] = "serving"
        return "ok"

    def _hold(self, paid: PaidCall, funding: str) -> Entry:
        source = paid.payment_id if funding == "x402" else paid.entry_id
        entry = Entry(Owner(paid.account_id, paid.wallet), funding, paid.amount, source=source)
        self.entries[paid.entry_id], self.calls[paid.entry_id] = entry, paid
        return entry

    def _finalize(self, call: Finalize) -> Any:
        paid, key = call.call, f"commit:{call.call.entry_id}"
        known = self._known(key, call)
        entry = self.entries[paid.entry_id]
        if known == "key_reused" or (not known and entry.state != HELD):
            return "lost_lease"
        charged = min(call.cost, paid.amount)
        if not known:
            self.keys[key] = call
            rest = self._charge(entry, cost=call.cost, denomination=USDC, change=accounts.credit_notes(paid.wallet))
            self._give_back(entry, rest, kind="change", source=paid.payment_id)
            self.rows[paid.payment_id] = "served"
        return ("served", charged, call.cost - charged, paid.amount - charged)

    def _owe(self, call: Owe) -> Any:
        paid, key = call.call, f"owed:{call.call.entry_id}"
        known = self._known(key, call)
        entry = self.entries[paid.entry_id]
        if known == "key_reused" or (not known and entry.state != HELD):
            return "lost_lease"
        if not known:
            self.keys[key] = call
            entry.state, entry.cost = RELEASED, 0
            credit = accounts.credit_notes(paid.wallet)
            self._move(USDC, (accounts.held(paid.account_id), -entry.held), (credit, entry.held))
            self._give_back(entry, entry.held, kind="owed", source=paid.payment_id)
            self.rows[paid.payment_id] = "credited"
        return ("credited", paid.amount)

    def _give_back(self, entry: Entry, amount: int, *, kind: str, source: str) -> None:
        """Money for a wallet: back to the notes it was taken from, the last taken first; the rest is a new note."""
        notes = self.notes[entry.owner.wallet]
        for taken in reversed(entry.taken):
            share = min(amount, taken[1])
            if share:
                taken[1] -= share
                amount -= share
                notes[taken[0]].remaining += share
                notes[taken[0]].has_expired = False
        if amount:
            expired = kind == "change" and self.change_expires_at_once
            notes.append(Note(kind, amount, amount, source, has_expired=expired))

    def _spend(self, call: Spend) -> str:
        paid = call.call
        key = f"spend:{paid.wallet}:{call.spend_key}"
        known = self._known(key, call)
        if known:
            return known
        places = [place for place, note in enumerate(self.notes[paid.wallet]) if not note.has_expired]
        taken = self._take(paid.wallet, places, paid.amount)
        if taken is None:
            return "insufficient_funds"
        self.keys[key] = call
        credit = accounts.credit_notes(paid.wallet)
        self._move(USDC, (credit, -paid.amount), (accounts.held(paid.account_id), paid.amount))
        self._hold(paid, "credit").taken = taken
        return "ok"

    def _take(self, wallet: str, places: Sequence[int], amount: int) -> list[list[int]] | None:
        """Take from notes at these places, oldest first; None, and nothing taken, when they do not hold enough."""
        notes = self.notes[wallet]
        if sum(notes[place].remaining for place in places) < amount:
            return None
        taken = []
        for place in places:
            share = min(amount, notes[place].remaining)
            if share:
                notes[place].remaining -= share
                amount -= share
                taken.append([place, share])
        return taken

    def _sweepnotes(self, _call: SweepNotes) -> str:
        for wallet, notes in self.notes.items():
            for note in notes:
                if note.has_expired and note.remaining:
                    credit = accounts.credit_notes(wallet)
                    self._move(USDC, (credit, -note.remaining), (accounts.CREDIT_NOTES_EXPIRED, note.remaining))
                    note.remaining = 0
        return "swept"

    def _markfinal(self, call: MarkFinal) -> str:
        """Said again, it marks the notes that came from the payment since; that is why it has no key to repeat."""
        for note in itertools.chain.from_iterable(self.notes.values()):
            note.is_refundable |= note.source == call.source
        return "ok"

    def _startrefund(self, call: StartRefund) -> str:
        key, wallet = f"refund:{call.refund_id}", call.owner.wallet
        known = self._known(key, call)
        if known:
            return known
        notes = self.notes[wallet]
        places = [place for place, note in enumerate(notes) if note.is_refundable and not note.has_expired]
        if self._take(wallet, places, call.amount) is None:
            return "insufficient_funds"
        self.keys[key] = call
        self.refunds[call.refund_id] = call
        credit = accounts.credit_notes(wallet)
        self._move(USDC, (credit, -call.amount), (accounts.REFUNDS_PAYABLE, call.amount))
        return "ok"

    def _endrefund(self, call: EndRefund) -> str:
        key, wallet = f"refund_ended:{call.refund_id}", call.owner.wallet
        known = self._known(key, call)
        if known:
            return known
        self.keys[key] = call
        target = TREASURY if call.is_paid else accounts.credit_notes(wallet)
        self._move(USDC, (accounts.REFUNDS_PAYABLE, -call.amount), (target, call.amount))
        if not call.is_paid:
            self.notes[wallet].append(Note("owed", call.amount, call.amount, call.refund_id))
        return "ok"

    def _void(self, call: Void) -> str:
        key = f"void:{call.entry_id}:{call.approval_id}"
        known = self._known(key, call)
        if known:
            return known
        entry = self.entries[call.entry_id]
        target, amount, version = self.approvals[call.approval_id]
        is_given = (target, amount, version) == (call.entry_id, call.amount, entry.version)
        if call.approval_id in self.used_approvals or not is_given:
            return "approval_invalid"
        if entry.state != DONE:
            return "wrong_state"
        if entry.revenue < call.amount:
            return "insufficient_funds"
        self.keys[key] = call
        self.used_approvals.add(call.approval_id)
        entry.revenue -= call.amount
        if entry.funding == "prepaid":
            back, denomination = accounts.available(entry.owner.account_id), PREPAID
        else:
            back, denomination = accounts.credit_notes(entry.owner.wallet), USDC
            self._give_back(entry, call.amount, kind="owed", source=entry.source)
        self._move(denomination, (accounts.REVENUE, -call.amount), (back, call.amount))
        return "ok"


def order_that_explains(
    model: Model, calls: Sequence[tuple[Operation, Any]], stored: dict[str, Any]
) -> tuple[Model, list[Operation]] | None:
    """The model after some order of these calls that gives every answer heard and the stored state; None without."""
    if not calls:
        return (model, []) if model.snapshot() == stored else None
    for place, (operation, heard) in enumerate(calls):
        following = model.copy()
        if following.apply(operation) != heard:
            continue
        found = order_that_explains(following, [*calls[:place], *calls[place + 1 :]], stored)
        if found:
            return found[0], [operation, *found[1]]
    return None
