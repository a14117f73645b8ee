"""Counters near their ends (ledger faults 3 and 12): beyond 2^31 nothing stops, beyond 2^63 nothing is written."""

import pytest

from billing.domain import accounts
from billing.domain.journal import ResultStatus
from billing.services.append_journal import append
from billing.services.finalization import finalize
from billing.services.verification import verify_ledger
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger

pytestmark = pytest.mark.slow
INT_END, BIGINT_END = 2**31 - 1, 2**63 - 1
IDENTITIES = {
    "account": "id",
    "credit_note": "number",
    "credit_note_movement": "id",
    "anchor": "id",
}


def test_every_counter_of_the_schema_is_a_bigint(own_ledger: OwnLedger) -> None:
    counters = ledger.rows(
        "SELECT c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind = 'r'"
        " AND (a.attidentity <> '' OR a.attname IN ('sequence', 'version', 'batch_first', 'last_token', 'epoch'))"
    )

    assert {kind for *_, kind in counters} == {"bigint"}
    assert {(table, column) for table, column, _ in counters} >= set(IDENTITIES.items())


def test_postings_go_on_when_ids_pass_the_end_of_four_bytes(own_ledger: OwnLedger) -> None:
    ledger.make_payment_table(own_ledger.urls["DATABASE_DIRECT_URL"])
    with own_ledger.superuser() as superuser:
        for table, column in IDENTITIES.items():
            superuser.execute(f"ALTER TABLE billing.{table} ALTER COLUMN {column} RESTART WITH {INT_END}")

    account_id = ledger.prepaid_account(1_000)
    call = ledger.PaidCall(amount=2_000).settle()
    finalize(payment=call.request(700))
    [result] = append([ledger.reserve_journal(account_id, 300)])

    assert result.status is ResultStatus.OK
    assert ledger.one("SELECT min(id), max(id) > %s FROM billing.account", INT_END) == (INT_END, True)
    assert ledger.balance(accounts.available(account_id), accounts.PREPAID) == 700
    assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]
    assert verify_ledger().findings == ()


def test_sequence_token_and_version_pass_the_end_of_four_bytes(own_ledger: OwnLedger) -> None:
    append([ledger.suspense_journal()])
    own_ledger.tamper("UPDATE billing.stream SET sequence = %s, last_token = %s WHERE id = 0", INT_END, INT_END)
    own_ledger.tamper("UPDATE billing.balance SET version = %s", INT_END)

    results = append([ledger.suspense_journal(), ledger.suspense_journal()])

    assert [result.sequence for result in results] == [INT_END + 1, INT_END + 2]
    assert ledger.one("SELECT max(version) FROM billing.posting") == (INT_END + 2,)
    assert ledger.one("SELECT last_token > %s FROM billing.stream WHERE id = 0", INT_END) == (True,)


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE billing.stream SET sequence = {BIGINT_END} WHERE id = 0",
        f"UPDATE billing.balance SET version = {BIGINT_END}",
    ],
    ids=["sequence", "version"],
)
def test_at_the_end_of_eight_bytes_nothing_is_written(own_ledger: OwnLedger, change: str) -> None:
    append([ledger.suspense_journal()])
    own_ledger.tamper(change)

    [refused] = append([ledger.suspense_journal(key="one-too-many")])

    assert (refused.status, refused.detail["sqlstate"]) == ("refused_by_database", "22003")
    assert ledger.journal_count("one-too-many") == 0
    assert ledger.balance("system:suspense") == 5


def test_a_balance_at_the_end_of_eight_bytes_refuses_one_more_and_its_neighbour_is_decided(
    own_ledger: OwnLedger,
) -> None:
    append([ledger.suspense_journal(BIGINT_END)])

    results = append([ledger.suspense_journal(1), ledger.reserve_journal("acc_none", 1), ledger.suspense_journal(2)])

    assert ledger.statuses(results) == ["balance_out_of_range", "insufficient_funds", "balance_out_of_range"]
    assert ledger.balance("system:suspense") == BIGINT_END
    assert verify_ledger().is_clean
