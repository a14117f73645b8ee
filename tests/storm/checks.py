"""What must be true after a storm. Pure: compares what the books, the chain and the payers say with one another.

The checks stand in the order of their weight; the first that does not hold is what a storm reports first.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.storm.attempts import Attempt
from tests.storm.books import Books, Row
from tests.storm.chain_facts import ChainFacts, Transfer

ON_CHAIN: Final = ("eip3009", "permit2")
PAID: Final = ("served", "credited", "refunded")
REVERSED: Final = "settlement_reversed"
NAMED_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold, and where."""

    invariant: str
    detail: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the checks compare. `runs` is how often the work of each payment was done, by its kind and id."""

    books: Books
    chain: ChainFacts
    attempts: list[Attempt]
    runs: Counter[tuple[str, str]]
    float_at_first: int
    verified: dict[str, object] = field(default_factory=dict)
    reconciled: dict[str, object] = field(default_factory=dict)

    @property
    def by_id(self) -> dict[str, Row]:
        return {one["id"]: one for one in self.books["payments"]}


def due_of(payment: Row) -> int:
    """What the chain was to move for a payment. Units: MicroUSDC."""
    return int(payment["amount_micro_usdc"] if payment["actual_micro_usdc"] is None else payment["actual_micro_usdc"])


def is_reversed(payment: Row) -> bool:
    """Whether the chain took the money of this payment back for good."""
    return bool(payment["failure_code"] == REVERSED)


def ledger_is_proved(evidence: Evidence) -> Iterator[str]:
    """`ledger_verify` finds every balance, version, sum and hash as its rows say."""
    if evidence.verified.get("ok") is not True:
        yield str(evidence.verified.get("findings") or evidence.verified)[:600]


def every_denomination_sums_to_zero(evidence: Evidence) -> Iterator[str]:
    """Postings and balances, added up here and not by the code under test."""
    for name in ("unbalanced", "adrift"):
        for one in evidence.books[name]:
            yield f"{name}: {one['denomination']} by {one['difference']}"


def treasury_on_chain_is_the_ledgers(evidence: Evidence) -> Iterator[str]:
    """What the addresses hold is what the books say they received, and paid out."""
    received = -_sum_of(evidence, "treasury:usdc_received:")
    if received != evidence.chain.treasury:
        yield f"chain {evidence.chain.treasury}, ledger {received}"
    paid_out = _sum_of(evidence, "treasury:refund_float")
    left_float = evidence.float_at_first - evidence.chain.refund_float
    if paid_out != left_float:
        yield f"refunded on chain {left_float}, in the ledger {paid_out}"


def _sum_of(evidence: Evidence, beginning: str) -> int:
    """What all accounts hold whose names begin so; credit positive."""
    return sum(int(one["balance"]) for one in evidence.books["accounts"] if one["name"].startswith(beginning))


def every_transfer_has_one_beneficiary(evidence: Evidence) -> Iterator[str]:
    """Each transfer to us is consumed by one payment or note, which got that very amount by it and by no other."""
    consumed = evidence.books["consumed"]
    beneficiaries = {(one["transaction_hash"], one["log_index"]): one["beneficiary"] for one in consumed}
    got: dict[str, list[Transfer]] = defaultdict(list)
    for transfer in evidence.chain.inflows:
        beneficiary = beneficiaries.get((transfer.transaction_hash, transfer.log_index))
        if beneficiary is None:
            yield f"nobody has {transfer.amount} of {transfer.sender} in {transfer.transaction_hash}"
        else:
            got[beneficiary].append(transfer)
    payments = evidence.by_id
    for beneficiary, transfers in got.items():
        payment = payments.get(beneficiary)
        if len(transfers) > 1:
            yield f"{beneficiary} was paid {len(transfers)} times"
        if payment is not None and (transfers[0].sender, transfers[0].amount) != (payment["payer"], due_of(payment)):
            yield f"{beneficiary} of {payment['payer']} for {due_of(payment)} has {transfers[0]}"
        if payment is not None and payment["state"] not in PAID:
            yield f"{beneficiary} was paid and is {payment['state']}"
    for payment in evidence.books["payments"]:
        is_owing = payment["state"] in PAID and payment["method"] in ON_CHAIN and due_of(payment) > 0
        if is_owing and not is_reversed(payment) and payment["id"] not in got:
            yield f"{payment['id']} is {payment['state']} ({payment['failure_code']}) and no transfer paid it"


def every_payment_ends_in_one_way(evidence: Evidence) -> Iterator[str]:
    """Served: charge and change are what was paid. Credited: a note of the whole. Never both, and never neither."""
    notes: dict[str, list[Row]] = defaultdict(list)
    for note in evidence.books["notes"]:
        notes[note["source"]].append(note)
    for payment in evidence.books["payments"]:
        if payment["method"] == "api_key" or is_reversed(payment) or payment["minted_micro_usd"]:
            continue
        given = Counter(change=0, owed=0)
        for note in notes[payment["id"]]:
            given[note["kind"]] += note["amount"]
        paid = due_of(payment) + payment["credit_applied_micro_usdc"]
        charged = payment["charged_micro_usdc"] or 0
        told = f"{payment['id']} ({payment['scheme']}, {payment['settle_order']}) {payment['state']}: paid {paid},"
        told += f" charged {charged}, change {given['change']}, owed {given['owed']}"
        if payment["state"] == "served" and (given["owed"] or charged + given["change"] != paid):
            yield told
        if payment["state"] in ("credited", "refunded") and (charged or given["owed"] + given["change"] != paid):
            yield told
        if payment["state"] == "dead" and (given["owed"] or given["change"]):
            yield told


def every_payer_has_what_was_paid_for(evidence: Evidence) -> Iterator[str]:
    """One payload, one payment, one answer: who was answered is served, and who is served was answered."""
    rows = {(one["payer"], one["nonce"]): one for one in evidence.books["payments"] if one["method"] in ON_CHAIN}
    by_id = evidence.by_id
    seen_twice: dict[str, str] = {}
    for attempt in evidence.attempts:
        ids = {one.payment_id for one in attempt.good if one.payment_id}
        digests = {one.digest for one in attempt.good}
        row = rows.get((attempt.payer, attempt.nonce)) if attempt.nonce else None
        name = f"{attempt.deed} by {attempt.payer} ({attempt.nonce[:12]})"
        if len(ids) > 1 or (len(digests) > 1 and not attempt.is_stream):
            yield f"{name} was answered in different ways: {sorted(ids)}"
        for payment_id in ids:
            if seen_twice.setdefault(payment_id, name) != name:
                yield f"{payment_id} answered {name} and {seen_twice[payment_id]}"
            found = by_id.get(payment_id)
            if found is None or (found["state"] != "served" and not is_reversed(found)):
                yield f"{name} was answered and {payment_id} is {found and found['state']}"
        if row is not None and row["state"] == "served" and not attempt.good:
            last = attempt.last
            yield f"{name}: {row['id']} is served and the payer has {last.status} {last.code}"


def work_is_done_once_and_for_money(evidence: Evidence) -> Iterator[str]:
    """At most one run a payment, two where the endpoint says a crash means another run; none for nothing."""
    by_id = evidence.by_id
    for (what, payment_id), count in evidence.runs.items():
        payment = by_id.get(payment_id)
        if count > (2 if what == "rerun" else 1):
            yield f"{what} ran {count} times for {payment_id}"
        is_paid = payment is not None and (payment["state"] in PAID or is_reversed(payment))
        if not is_paid and (payment is None or payment["settle_order"] == "before"):
            yield f"{what} ran for {payment_id}, which is {payment and payment['state']}"


def prepaid_credit_is_bought_less_spent(evidence: Evidence) -> Iterator[str]:
    """What each account has left is what its purchases minted less what its calls were charged."""
    left: Counter[str] = Counter()
    for payment in evidence.books["payments"]:
        if payment["minted_micro_usd"] and payment["state"] in PAID:
            left[payment["account_id"]] += payment["minted_micro_usd"]
        if payment["method"] == "api_key" and payment["state"] == "served":
            left[payment["account_id"]] -= payment["charged_micro_usdc"] or 0
    balances = {one["name"]: one["balance"] for one in evidence.books["accounts"]}
    for account_id, wanted in left.items():
        has = balances.get(f"user:{account_id}:available", 0) + balances.get(f"user:{account_id}:held", 0)
        if has != wanted:
            yield f"{account_id} has {has} and should have {wanted}"
    calls = [attempt for attempt in evidence.attempts if attempt.deed == "call_by_key"]
    answered = {one.payment_id for call in calls for one in call.good}
    by_key = [one for one in evidence.books["payments"] if one["method"] == "api_key"]
    served = {one["id"] for one in by_key if one["state"] == "served"}
    if answered != served:
        yield f"calls by key: served and not answered {sorted(served - answered)}, answered {sorted(answered - served)}"


def every_refund_is_paid_once(evidence: Evidence) -> Iterator[str]:
    """Each transfer out of the float is one refund's, to its wallet, of its amount."""
    out = Counter((one.recipient, one.amount) for one in evidence.chain.outflows)
    paid = Counter(
        (one["wallet"], one["amount_micro_usdc"]) for one in evidence.books["refunds"] if one["state"] == "paid"
    )
    if out != paid:
        yield f"on chain and not paid {dict(out - paid)}, paid and not on chain {dict(paid - out)}"


def chain_and_books_are_reconciled(evidence: Evidence) -> Iterator[str]:
    """The site's own comparison finds no difference."""
    if evidence.reconciled.get("ok") is not True:
        yield str(evidence.reconciled.get("differences") or evidence.reconciled)[:600]


def nobody_is_told_of_a_fault_of_ours(evidence: Evidence) -> Iterator[str]:
    """Whatever breaks, an answer says what to do next: never 500."""
    for attempt in evidence.attempts:
        codes = [one.code for one in attempt.seen if one.status == 500]
        if codes:
            yield f"{attempt.deed} was answered 500 {codes[0]} {len(codes)} times"


CHECKS: Final[tuple[Callable[[Evidence], Iterator[str]], ...]] = (
    ledger_is_proved,
    every_denomination_sums_to_zero,
    treasury_on_chain_is_the_ledgers,
    every_transfer_has_one_beneficiary,
    every_payment_ends_in_one_way,
    every_payer_has_what_was_paid_for,
    work_is_done_once_and_for_money,
    prepaid_credit_is_bought_less_spent,
    every_refund_is_paid_once,
    chain_and_books_are_reconciled,
    nobody_is_told_of_a_fault_of_ours,
)


def violations(evidence: Evidence) -> list[Violation]:
    """Every invariant that does not hold, the weightiest first; of each the first few places."""
    found: list[Violation] = []
    for check in CHECKS:
        places = list(check(evidence))
        found += [Violation(check.__name__, place) for place in places[:NAMED_MAX]]
        if len(places) > NAMED_MAX:
            found.append(Violation(check.__name__, f"and {len(places) - NAMED_MAX} more"))
    return found
