"""What a journal refuses to be before any database sees it; and that code and database hold the same chart."""

import datetime as dt

import pytest

from billing.domain import accounts, lifecycle, templates
from billing.domain.errors import InvalidAmount, InvalidJournal, WrongState
from billing.domain.journal import EntryMove, Journal, JournalKind, Posting, body_hash
from billing.domain.lifecycle import EntryState
from tests.factories import ledger

BAD_AMOUNTS = [0, True, 1.5, float("nan"), "1", "１", None, 2**63, -(2**63), 10**30]


@pytest.mark.parametrize("amount", BAD_AMOUNTS)
def test_a_posting_refuses_what_is_no_amount(amount):
    with pytest.raises(InvalidAmount):
        Posting("system:revenue", ledger.USDC, amount)


@pytest.mark.parametrize(
    "postings",
    [
        (Posting("system:revenue", ledger.USDC, 1),),
        (Posting("system:revenue", ledger.USDC, 1), Posting("system:suspense", ledger.USDC, -2)),
        (Posting("system:revenue", ledger.USDC, 1), Posting("system:revenue", "MicroUSD", -1)),
    ],
    ids=["one posting", "not zero", "zero only across denominations"],
)
def test_a_journal_is_zero_in_every_denomination(postings):
    with pytest.raises(InvalidJournal):
        Journal(JournalKind.DEPOSIT_UNMATCHED, "k", postings)


@pytest.mark.parametrize("key", ["", "a\x1fb", "a\x00", "k" * 256, None, 7])
def test_a_key_is_printable_text_of_at_most_255_characters(key):
    with pytest.raises(InvalidJournal):
        Journal(JournalKind.STATE_CHANGE, key)


def test_an_effective_time_names_its_zone():
    with pytest.raises(InvalidJournal):
        Journal(JournalKind.STATE_CHANGE, "k", effective_at=dt.datetime.fromisoformat("2026-01-01"))


def test_the_moves_of_a_journal_are_steps_of_one_entry():
    first = EntryMove("ent_1", EntryState.RESERVE_HELD, EntryState.COMMITTED)
    with pytest.raises(InvalidJournal):
        Journal(
            JournalKind.STATE_CHANGE,
            "k",
            entry_moves=(first, EntryMove("ent_2", EntryState.COMMITTED, EntryState.VOIDED)),
        )


def test_the_body_hash_keeps_fields_apart():
    assert body_hash(["ab", "c"]) != body_hash(["a", "bc"])
    assert body_hash(["", "x"]) != body_hash(["x", ""])


@pytest.mark.parametrize("start", list(EntryState))
@pytest.mark.parametrize("end", list(EntryState))
def test_only_moves_of_the_table_are_allowed(start, end):
    if lifecycle.is_allowed(start, end):
        lifecycle.require_move(start, end)
    else:
        with pytest.raises(WrongState):
            lifecycle.require_move(start, end)


@pytest.mark.django_db(transaction=True)
def test_the_database_holds_the_same_lifecycle():
    assert set(ledger.rows("SELECT from_state, to_state FROM billing.entry_lifecycle")) == {
        (str(start), str(end)) for start, end in lifecycle.MOVES
    }


@pytest.mark.django_db(transaction=True)
def test_the_database_holds_the_same_chart():
    assert ledger.rows(
        "SELECT number, name, pattern, kind, denomination_pattern, is_sharded, owner, floor, cap"
        " FROM billing.account_shape ORDER BY number"
    ) == [
        (s.number, s.name, s.pattern, str(s.kind), s.denominations, s.is_sharded, s.owner, s.floor, s.cap)
        for s in accounts.CHART
    ]


@pytest.mark.django_db(transaction=True)
def test_the_database_holds_the_same_templates():
    stored = set(ledger.rows("SELECT kind, shape, sign, is_required FROM billing.posting_template"))
    needs = ledger.rows("SELECT kind, has_postings, needs_entry, needs_approval, daily_limit FROM billing.journal_kind")

    assert stored == {(str(t.kind), *row) for t in templates.TEMPLATES for row in t.rows()}
    assert set(needs) == {
        (str(t.kind), bool(t.lines), t.needs_entry, t.needs_approval, t.daily_limit) for t in templates.TEMPLATES
    }
    assert {str(kind) for kind in JournalKind} == {row[0] for row in needs}
