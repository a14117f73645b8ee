"""Reading the ledger: exact figures, pages by key, times that mean what they say."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from billing.domain import accounts
from billing.selectors import balances, credit_notes, journals, reports, statements
from billing.services.append_journal import append
from billing.services.finalization import credit_owed, finalize
from tests.factories import ledger

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("payment_table")]
PREPAID = accounts.PREPAID


@pytest.fixture
def account() -> str:
    """A prepaid account with 1,000 of which 100, 200 and 300 were reserved one after the other."""
    account_id = ledger.prepaid_account(1_000)
    for amount in (100, 200, 300):
        append([ledger.reserve_journal(account_id, amount)])
    return accounts.available(account_id)


def recorded_times(account: str) -> list[datetime]:
    return [line.recorded_at for line in reversed(statements.statement_of(account, PREPAID).lines)]


def test_the_balance_now_is_the_last_line_of_the_statement(account: str) -> None:
    lines = statements.statement_of(account, PREPAID).lines

    assert [(line.amount, line.balance_after) for line in lines] == [
        (-300, 400),
        (-200, 700),
        (-100, 900),
        (1_000, 1_000),
    ]
    assert balances.balance_of(account, PREPAID) == 400
    assert balances.balance_of("user:nobody:available", PREPAID) == 0


def test_the_balance_at_a_recorded_moment_is_what_was_recorded_until_then(account: str) -> None:
    times = recorded_times(account)

    found = [balances.balance_at(account, PREPAID, recorded_at=moment).amount for moment in times]
    before = balances.balance_at(account, PREPAID, recorded_at=times[0] - timedelta(microseconds=1))

    assert found == [1_000, 900, 700, 400]
    assert before.amount == 0


def test_a_balance_of_a_moment_ago_is_provisional_and_an_old_one_is_not(account: str) -> None:
    now = timezone.now()

    assert balances.balance_at(account, PREPAID, recorded_at=now).is_provisional
    assert not balances.balance_at(account, PREPAID, recorded_at=now - timedelta(minutes=5)).is_provisional


def test_a_backdated_journal_counts_in_effective_time_only() -> None:
    account_id = ledger.prepaid_account(1_000)
    account = accounts.available(account_id)
    yesterday = timezone.now() - timedelta(days=1)

    append([ledger.reserve_journal(account_id, 100, effective_at=yesterday)])

    until = yesterday + timedelta(hours=1)
    assert balances.balance_by_effective_time(account, PREPAID, effective_until=until) == -100
    assert balances.balance_at(account, PREPAID, recorded_at=until).amount == 0
    assert balances.balance_of(account, PREPAID) == 900


def test_pages_follow_each_other_without_gap_or_repeat() -> None:
    account_id = ledger.prepaid_account(100)
    append([ledger.reserve_journal(account_id, 1) for _ in range(24)])
    account, cursor, seen, sizes = accounts.available(account_id), "", [], []

    while True:
        page = statements.statement_of(account, PREPAID, cursor=cursor, limit=10)
        seen += [line.version for line in page.lines]
        sizes.append(len(page.lines))
        cursor = page.next_cursor
        if not cursor:
            break

    assert seen == list(range(25, 0, -1))
    assert sizes == [10, 10, 5]


@pytest.mark.parametrize(
    "cursor", ["x", "e30", "W10=", "eyIwIjoxLjV9", "eyJhIjoxfQ==", "eyIwIjotMX0=", "é", "A" * 5_000]
)
def test_a_cursor_that_is_not_ours_is_refused(account: str, cursor: str) -> None:
    with pytest.raises(statements.InvalidCursor):
        statements.statement_of(account, PREPAID, cursor=cursor)


def test_a_payments_journals_are_found_by_payment_correlation_and_entry() -> None:
    call = ledger.PaidCall(amount=2_000).settle()
    finalize(payment=call.request(700))

    by_entry = journals.journals_of(entry_id=call.entry_id)
    by_correlation = journals.journals_of(correlation_id=f"quo_{call.payment_id}")

    assert [journal.kind for journal in by_entry] == ["x402_settled", "billing_commit"]
    assert by_entry == by_correlation
    assert sum(line.amount for line in by_entry[1].postings) == 0
    assert journals.journal_of(by_entry[0].id) == by_entry[0]
    with pytest.raises(ValueError, match="exactly one"):
        journals.journals_of()


def test_a_wallets_notes_are_listed_in_spending_order_with_what_is_spendable() -> None:
    call = ledger.PaidCall(amount=2_000).settle()
    finalize(payment=call.request(700))
    second = ledger.PaidCall(amount=500, wallet=call.wallet).settle()
    credit_owed(payment=second.request(0, to_state="credited"), reason="upstream_failed")

    notes = credit_notes.notes_of(call.wallet.upper().replace("0X", "0x"))

    assert [(note.kind, note.remaining, note.is_spendable) for note in notes] == [
        ("change", 1_300, True),
        ("owed", 500, True),
    ]
    assert (notes[0].expires_at is None, notes[1].expires_at is None) == (False, True)
    assert credit_notes.spendable_credit_of(call.wallet, ledger.USDC) == 1_800
    assert [note.id for note in credit_notes.notes_from(call.payment_id)] == [notes[0].id]
    assert [move.reason for move in credit_notes.movements_of(call.wallet, before=2**63 - 1, limit=5)] == ["issued"] * 2


def test_the_trial_balance_sums_to_zero_and_conservation_holds() -> None:
    ledger.PaidCall(amount=2_000).settle()

    lines = reports.trial_balance()

    for denomination in {line.denomination for line in lines}:
        assert sum(line.balance for line in lines if line.denomination == denomination) == 0
    assert reports.conservation() == reports.Conservation(is_conserved=True, differences={})


def test_the_income_statement_counts_revenue_of_its_period_only() -> None:
    start = timezone.now()
    call = ledger.PaidCall(amount=2_000).settle()
    finalize(payment=call.request(700))
    end = timezone.now() + timedelta(seconds=1)

    during = reports.income_statement(effective_from=start, effective_until=end)
    before = reports.income_statement(
        effective_from=datetime(2001, 1, 1, tzinfo=UTC), effective_until=datetime(2001, 1, 2, tzinfo=UTC)
    )

    assert [(line.shape, line.amount) for line in during if line.denomination == ledger.USDC] == [("revenue", 700)]
    assert before == []
