"""What a superuser changes with the triggers off, the proof names."""

import pytest
from structlog.testing import capture_logs

from billing.services.verification import verify_ledger
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger

MIDDLE = "(SELECT id FROM billing.journal WHERE kind = 'deposit_unmatched' ORDER BY sequence OFFSET 1 LIMIT 1)"


def named(check: str) -> tuple[str, str]:
    """Where and what the proof found wrong in that check."""
    [finding] = [finding for finding in verify_ledger().findings if finding.check == check]
    return finding.where, finding.detail


def test_an_untouched_ledger_is_whole(busy_ledger: OwnLedger) -> None:
    verification = verify_ledger()

    assert verification.findings == ()
    assert verification.posting_count == ledger.one("SELECT count(*) FROM billing.posting")[0]
    assert verification.posting_count > 15


def test_an_empty_ledger_is_whole(own_ledger: OwnLedger) -> None:
    assert verify_ledger().findings == ()


@pytest.mark.parametrize(
    "change",
    [
        "amount = amount + CASE WHEN line = 1 THEN -1 ELSE 1 END",
        "balance_after = balance_after + 1",
        "version = version + 1000",
    ],
)
def test_a_changed_posting_is_named_by_its_journal(busy_ledger: OwnLedger, change: str) -> None:
    [(journal_id, sequence)] = ledger.rows(f"SELECT id, sequence FROM billing.journal WHERE id = {MIDDLE}")

    assert busy_ledger.tamper(f"UPDATE billing.posting SET {change} WHERE journal_id = {MIDDLE}") == 2

    where, detail = named("streams")
    assert where == f"journal {journal_id} (stream 0, sequence {sequence})"
    assert detail == "its hash does not fit its content"


@pytest.mark.parametrize(
    "change",
    [
        'metadata = \'{"payment_id": "pay_other"}\'',
        "correlation_id = 'quo_other'",
        "effective_at = effective_at - interval '1 day'",
        "entry_id = 'ent_other'",
        "key = key || 'x'",
        "kind = 'suspense_matched'",
    ],
)
def test_a_changed_field_of_a_journal_is_named(busy_ledger: OwnLedger, change: str) -> None:
    [(journal_id, sequence)] = ledger.rows(f"SELECT id, sequence FROM billing.journal WHERE id = {MIDDLE}")

    assert busy_ledger.tamper(f"UPDATE billing.journal SET {change} WHERE id = '{journal_id}'") == 1

    where, detail = named("streams")
    assert where == f"journal {journal_id} (stream 0, sequence {sequence})"
    assert detail == "its hash does not fit its content"


def test_a_chain_that_was_recomputed_after_an_edit_does_not_reach_the_next_journal(busy_ledger: OwnLedger) -> None:
    [(journal_id, sequence)] = ledger.rows(f"SELECT id, sequence FROM billing.journal WHERE id = {MIDDLE}")

    busy_ledger.tamper(f"UPDATE billing.journal SET correlation_id = 'quo_other' WHERE id = '{journal_id}'")
    busy_ledger.tamper(
        "UPDATE billing.journal j SET hash = sha256(j.previous_hash || convert_to("
        "billing.canonical_journal(j, billing.canonical_postings(j.id)), 'UTF8')) WHERE id = %s",
        journal_id,
    )

    where, detail = named("streams")
    assert f"sequence {sequence + 1})" in where
    assert detail == "it does not follow the journal before it"


def test_a_removed_journal_leaves_a_gap(busy_ledger: OwnLedger) -> None:
    [(journal_id, sequence)] = ledger.rows(f"SELECT id, sequence FROM billing.journal WHERE id = {MIDDLE}")

    busy_ledger.tamper("DELETE FROM billing.posting WHERE journal_id = %s", journal_id)
    busy_ledger.tamper("DELETE FROM billing.journal WHERE id = %s", journal_id)

    where, detail = named("streams")
    assert f"sequence {sequence + 1})" in where
    assert detail == "journals are missing before it"


def test_the_removed_newest_journal_is_missed_by_the_head(busy_ledger: OwnLedger) -> None:
    [(journal_id, sequence)] = ledger.rows("SELECT id, sequence FROM billing.journal ORDER BY sequence DESC LIMIT 1")

    busy_ledger.tamper("DELETE FROM billing.posting WHERE journal_id = %s", journal_id)
    busy_ledger.tamper("DELETE FROM billing.journal WHERE id = %s", journal_id)

    assert named("streams") == (f"stream 0, sequence {sequence}", "the journal is missing")


def test_two_journals_that_changed_places_are_named(busy_ledger: OwnLedger) -> None:
    [(first,), (second,)] = ledger.rows(
        "SELECT id FROM billing.journal WHERE kind = 'deposit_unmatched' ORDER BY sequence LIMIT 2"
    )
    busy_ledger.tamper("UPDATE billing.journal SET sequence = -sequence + 1000000 WHERE id = %s", first)
    busy_ledger.tamper("UPDATE billing.journal SET sequence = sequence - 1 WHERE id = %s", second)
    busy_ledger.tamper("UPDATE billing.journal SET sequence = 1000001 - sequence WHERE id = %s", first)

    where, _ = named("streams")
    assert second in where


def test_a_posting_added_to_an_old_journal_is_named(busy_ledger: OwnLedger) -> None:
    busy_ledger.tamper(
        "INSERT INTO billing.posting SELECT journal_id, 3, account_id, shard, 999999, amount, balance_after"
        f" FROM billing.posting WHERE journal_id = {MIDDLE} AND line = 1"
    )

    assert named("streams")[1] == "it lacks postings or has too many"


def test_a_journal_without_its_postings_is_named(busy_ledger: OwnLedger) -> None:
    busy_ledger.tamper(f"DELETE FROM billing.posting WHERE journal_id = {MIDDLE}")

    assert named("streams")[1] == "it lacks postings or has too many"


def test_a_forgotten_idempotency_key_is_named(busy_ledger: OwnLedger) -> None:
    busy_ledger.tamper(f"DELETE FROM billing.idempotency_key WHERE journal_id = {MIDDLE}")

    assert named("streams")[1] == "its idempotency key is missing or names another journal"


def test_a_changed_balance_is_named(busy_ledger: OwnLedger) -> None:
    busy_ledger.tamper(
        "UPDATE billing.balance b SET posted = posted + 1 FROM billing.account a"
        " WHERE a.id = b.account_id AND a.name = 'system:suspense'"
    )

    where, detail = named("balances")
    assert where == "balance of system:suspense, shard 0"
    assert detail == "it says 36 at version 5, its postings say 35"
    assert named("trial_balance") == (f"denomination {ledger.USDC}", "balances sum to 1")


def test_a_balance_without_its_row_is_named(busy_ledger: OwnLedger) -> None:
    busy_ledger.tamper(
        "DELETE FROM billing.balance b USING billing.account a WHERE a.id = b.account_id AND a.name = 'system:suspense'"
    )

    assert named("trial_balance") == (f"denomination {ledger.USDC}", "balances sum to -35")


def test_a_note_that_grew_is_named_by_its_wallet(busy_ledger: OwnLedger) -> None:
    [(wallet,)] = ledger.rows("SELECT wallet FROM billing.credit_note")

    busy_ledger.tamper("UPDATE billing.credit_note SET amount = amount + 1, remaining = remaining + 1")

    assert named("credit_notes") == (f"wallet {wallet}", "its notes hold 1301, its account 1300")


def test_a_hold_without_its_entry_is_named(busy_ledger: OwnLedger) -> None:
    [(account_id,)] = ledger.rows("SELECT account_id FROM billing.billing_entry WHERE funding = 'prepaid'")

    busy_ledger.tamper("UPDATE billing.billing_entry SET state = 'RELEASED' WHERE funding = 'prepaid'")

    assert named("holds") == (f"account {account_id}", "its entries hold 0, its balance 300")


def test_a_switched_off_trigger_is_named(busy_ledger: OwnLedger) -> None:
    with busy_ledger.superuser() as superuser:
        superuser.execute("ALTER TABLE billing.journal DISABLE TRIGGER no_update")

    assert named("guards") == ("no_update on billing.journal", "the trigger is not ENABLE ALWAYS")


def test_a_trigger_that_fires_only_outside_replica_mode_is_named(busy_ledger: OwnLedger) -> None:
    with busy_ledger.superuser() as superuser:
        superuser.execute("ALTER TABLE billing.posting ENABLE TRIGGER no_delete")

    assert named("guards") == ("no_delete on billing.posting", "the trigger is not ENABLE ALWAYS")


def test_a_dropped_trigger_is_named(busy_ledger: OwnLedger) -> None:
    with busy_ledger.superuser() as superuser:
        superuser.execute("DROP TRIGGER postings_are_whole ON billing.posting")

    assert named("guards") == ("postings_are_whole on billing.posting", "the trigger is missing")


def test_a_stream_that_vanished_whole_is_named_by_its_birth(busy_ledger: OwnLedger) -> None:
    with busy_ledger.superuser() as superuser:
        superuser.execute("SELECT billing.open_stream(17, 'writer')")
    assert verify_ledger().findings == ()

    busy_ledger.tamper("DELETE FROM billing.stream WHERE id = 17")

    assert named("stream_births") == ("stream 17", "it was opened, but its row is gone")


def test_a_stream_nobody_opened_is_named(busy_ledger: OwnLedger) -> None:
    busy_ledger.tamper(
        "INSERT INTO billing.stream (id, lane, head) VALUES (9, 'writer', sha256(convert_to('loa.stream:9', 'UTF8')))"
    )

    assert named("stream_births") == ("stream 9", "no journal of stream 0 opened it")


def test_findings_are_logged_as_critical(busy_ledger: OwnLedger) -> None:
    busy_ledger.tamper("UPDATE billing.balance SET posted = posted + 1 WHERE posted > 0")

    with capture_logs() as logs:
        verify_ledger()

    failed = [entry for entry in logs if entry["event"] == "ledger.verification_failed"]
    assert {entry["log_level"] for entry in failed} == {"critical"}
    assert "balances" in {entry["check"] for entry in failed}


def test_the_hash_the_proof_recomputes_is_the_canonical_one(busy_ledger: OwnLedger) -> None:
    wrong = ledger.one(
        "SELECT count(*) FROM billing.journal j WHERE j.hash <> sha256(j.previous_hash || convert_to("
        "billing.canonical_journal(j, billing.canonical_postings(j.id)), 'UTF8'))"
    )

    assert wrong == (0,)
