"""Each check of a storm finds what it is there to find, and nothing in books that are right."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.storm.attempts import Attempt, Seen
from tests.storm.books import Books
from tests.storm.chain_facts import ChainFacts, Transfer
from tests.storm.checks import Evidence, violations

PAYER, OTHER, US = "0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "ee" * 20
PAID, CREDITED = 2_000, 10_000


def payment(name: str, state: str, **changes: Any) -> dict[str, Any]:
    row = {
        "id": name,
        "state": state,
        "method": "eip3009",
        "scheme": "exact",
        "settle_order": "before",
        "work": "",
        "payer": PAYER,
        "nonce": f"0x{name}",
        "amount_micro_usdc": PAID,
        "actual_micro_usdc": None,
        "charged_micro_usdc": None,
        "credit_applied_micro_usdc": 0,
        "minted_micro_usd": 0,
        "failure_code": "",
        "account_id": "acc_1",
    }
    return row | changes


def transfer(name: str, amount: int, *, sender: str = PAYER) -> Transfer:
    return Transfer(f"0x{name}", 0, sender, US, amount)


def evidence() -> Evidence:
    """A payment that was served for less than it was paid, one whose work broke, a call by key, and a refund."""
    rows: dict[str, list[dict[str, Any]]] = {
        "payments": [
            payment("p1", "served", charged_micro_usdc=700),
            payment("p2", "credited", amount_micro_usdc=CREDITED, failure_code="paid_work_failed"),
            payment("p3", "served", method="api_key", payer="key:1", charged_micro_usdc=300),
            payment(
                "p4", "served", minted_micro_usd=5_000_000, charged_micro_usdc=5_000_000, amount_micro_usdc=5_000_000
            ),
            payment("p5", "dead"),
        ],
        "consumed": [
            {"transaction_hash": f"0x{name}", "log_index": 0, "beneficiary": name} for name in ("p1", "p2", "p4")
        ],
        "notes": [
            {"id": "n1", "source": "p1", "wallet": PAYER, "kind": "change", "amount": 1_300, "remaining": 1_300},
            {"id": "n2", "source": "p2", "wallet": PAYER, "kind": "owed", "amount": CREDITED, "remaining": 0},
        ],
        "refunds": [{"id": "r1", "state": "paid", "wallet": PAYER, "amount_micro_usdc": CREDITED, "nonce": ""}],
        "letters": [],
        "held": [],
        "carried": [],
        "accounts": [
            {"name": "treasury:usdc_received:x", "denomination": "usdc", "balance": -(PAID + CREDITED + 5_000_000)},
            {"name": "treasury:refund_float:x", "denomination": "usdc", "balance": CREDITED},
            {"name": "user:acc_1:available", "denomination": "MicroUSD", "balance": 5_000_000 - 300},
        ],
        "unbalanced": [],
        "adrift": [],
        "journals": [{"count": 9}],
    }
    inflows = [transfer("p1", PAID), transfer("p2", CREDITED), transfer("p4", 5_000_000)]
    refunded = Transfer("0xr1", 0, US, PAYER, CREDITED)
    return Evidence(
        books=Books(rows),
        chain=ChainFacts(PAID + CREDITED + 5_000_000, 90_000, inflows, [refunded]),
        attempts=[
            Attempt("exact", "GET", "/item/1", None, {}, PAYER, "0xp1", [Seen(0), Seen(200, "", "p1", "d1")]),
            Attempt("broken", "GET", "/broken/1", None, {}, PAYER, "0xp2", [Seen(502, "paid_work_failed", "p2")]),
            Attempt("call_by_key", "GET", "/item/2", None, {}, PAYER, "", [Seen(200, "", "p3", "d3")]),
            Attempt("buy_credit", "POST", "/buy", {}, {}, PAYER, "0xp4", [Seen(200, "", "p4", "d4")]),
        ],
        runs=Counter({("item", "p1"): 1, ("broken", "p2"): 1, ("item", "p3"): 1}),
        float_at_first=100_000,
        verified={"ok": True},
        reconciled={"ok": True},
    )


def changed(name: str, place: int, **changes: Any) -> Evidence:
    right = evidence()
    right.books[name][place] |= changes
    return right


def answered(place: int, *more: Seen) -> Evidence:
    right = evidence()
    right.attempts[place].seen.extend(more)
    return right


def on_chain(**changes: Any) -> Evidence:
    right = evidence()
    return replace(right, chain=replace(right.chain, **changes))


def test_books_that_are_right_violate_nothing() -> None:
    assert violations(evidence()) == []


@pytest.mark.parametrize(
    ("invariant", "wrong"),
    [
        ("ledger_is_proved", lambda: replace(evidence(), verified={"ok": False, "findings": ["sum"]})),
        ("treasury_on_chain_is_the_ledgers", lambda: on_chain(treasury=1)),
        ("treasury_on_chain_is_the_ledgers", lambda: on_chain(refund_float=100_000)),
        ("every_transfer_has_one_beneficiary", lambda: changed("consumed", 0, beneficiary="p2")),
        ("every_transfer_has_one_beneficiary", lambda: changed("consumed", 0, beneficiary="p5")),
        ("every_transfer_has_one_beneficiary", lambda: changed("payments", 0, payer=OTHER, nonce="0x0")),
        ("every_transfer_has_one_beneficiary", lambda: on_chain(inflows=[])),
        ("every_payment_ends_in_one_way", lambda: changed("notes", 0, amount=1_301)),
        ("every_payment_ends_in_one_way", lambda: changed("notes", 1, amount=9_999)),
        ("every_payment_ends_in_one_way", lambda: changed("payments", 1, charged_micro_usdc=700)),
        ("every_payment_ends_in_one_way", lambda: changed("payments", 0, charged_micro_usdc=PAID)),
        ("every_payer_has_what_was_paid_for", lambda: answered(0, Seen(200, "", "p4", "d1"))),
        ("every_payer_has_what_was_paid_for", lambda: answered(0, Seen(200, "", "p1", "another"))),
        ("every_payer_has_what_was_paid_for", lambda: answered(1, Seen(200, "", "p2", "d2"))),
        ("work_is_done_once_and_for_money", lambda: replace(evidence(), runs=Counter({("item", "p1"): 2}))),
        ("work_is_done_once_and_for_money", lambda: replace(evidence(), runs=Counter({("item", "p5"): 1}))),
        ("prepaid_credit_is_bought_less_spent", lambda: changed("accounts", 2, balance=5_000_000)),
        ("every_refund_is_paid_once", lambda: changed("refunds", 0, state="failed")),
        ("every_refund_is_paid_once", lambda: on_chain(outflows=2 * evidence().chain.outflows)),
        ("chain_and_books_are_reconciled", lambda: replace(evidence(), reconciled={"ok": False, "differences": [1]})),
        ("nobody_is_told_of_a_fault_of_ours", lambda: answered(0, Seen(500, "internal_error"))),
    ],
)
def test_what_is_wrong_is_found_and_named(invariant: str, wrong: Callable[[], Evidence]) -> None:
    assert invariant in {one.invariant for one in violations(wrong())}


def test_who_was_served_and_never_answered_is_found() -> None:
    right = evidence()
    right.attempts[0].seen[:] = [Seen(0)]

    assert [one.invariant for one in violations(right)] == ["every_payer_has_what_was_paid_for"]


def test_a_reversed_settlement_is_no_longer_owed_a_transfer() -> None:
    right = changed("payments", 0, failure_code="settlement_reversed")
    left = [one for one in right.chain.inflows if one.transaction_hash != "0xp1"]
    right.books["accounts"][0]["balance"] += PAID
    right.books["notes"].pop(0)

    assert violations(replace(right, chain=replace(right.chain, inflows=left, treasury=CREDITED + 5_000_000))) == []


def test_what_has_a_way_to_go_is_named() -> None:
    books = changed("payments", 0, state="settling").books

    assert books.unfinished == ["payment p1 settling"]
    assert changed("refunds", 0, state="sent").books.unfinished == ["refund r1 sent"]
