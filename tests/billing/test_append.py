"""One call, a result for each journal; refused journals write nothing, keys make a second time harmless."""

import datetime as dt
import threading

import pytest
from django.db import OperationalError, transaction

from billing.domain import accounts, posting_rules
from billing.domain.errors import InsideTransaction, InvalidJournal, KeyReused, WrongState
from billing.domain.journal import Journal, JournalKind, Posting
from billing.services import append_journal, credit_spending, finalization, reservations
from billing.services.append_journal import append, append_in_transaction
from billing.services.events import close_period
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.ledger import PaidCall, prepaid_account, reserve_journal, suspense_journal, unique

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("payment_table")]


def test_an_empty_batch_has_no_results():
    assert append([]) == []


def test_a_batch_on_55_refuses_60_and_lets_50_pass():
    account_id = prepaid_account(55)

    results = append([reserve_journal(account_id, 60), reserve_journal(account_id, 50)])

    assert ledger.statuses(results) == ["insufficient_funds", "ok"]
    assert results[0].detail == {
        "account": f"user:{account_id}:available",
        "balance": "55",
        "delta": "-60",
        "floor": "0",
    }
    assert ledger.balance(accounts.available(account_id), "MicroUSD") == 5


def test_equal_keys_in_a_batch_are_one_journal():
    key, other = unique(), unique()
    first = suspense_journal(5, key=key)

    results = append([first, first, suspense_journal(6, key=key), suspense_journal(7, key=other)])

    assert ledger.statuses(results) == ["ok", "exists", "key_reused", "ok"]
    assert results[1].journal_id == results[0].journal_id
    assert results[1].hash == results[0].hash
    assert ledger.journal_count(key) == 1


def test_a_refused_journal_keeps_no_key():
    account_id = prepaid_account(10)
    journal = reserve_journal(account_id, 20)
    assert ledger.statuses(append([journal])) == ["insufficient_funds"]
    append(
        [
            Journal(
                JournalKind.CREDIT_MINT,
                unique(),
                posting_rules.credit_mint(
                    treasury=ledger.TREASURY, token=ledger.USDC, paid=10, account_id=account_id, minted=10
                ),
            )
        ]
    )

    assert ledger.statuses(append([journal])) == ["ok"]


def test_linked_journals_stand_or_fall_together():
    account_id = prepaid_account(10)
    keys = [unique() for _ in range(3)]

    results = append(
        [
            suspense_journal(5, key=keys[0], linked=True),
            reserve_journal(account_id, 20),
            suspense_journal(5, key=keys[1], linked=True),
            reserve_journal(account_id, 10, key=keys[2]),
        ]
    )

    assert ledger.statuses(results) == ["linked_failed", "insufficient_funds", "ok", "ok"]
    assert [ledger.journal_count(key) for key in keys] == [0, 1, 1]


def test_the_last_journal_cannot_be_linked_to_nothing():
    with pytest.raises(InvalidJournal):
        append([suspense_journal(linked=True)])


def test_sequence_and_hashes_of_a_batch_follow_each_other():
    results = append([suspense_journal() for _ in range(3)])

    chain = ledger.rows(
        "SELECT id, sequence, hash, previous_hash FROM billing.journal WHERE stream = %s AND sequence BETWEEN %s AND %s"
        " ORDER BY sequence",
        results[0].stream,
        results[0].sequence,
        results[2].sequence,
    )
    assert [(row[0], row[1], bytes(row[2])) for row in chain] == [(r.journal_id, r.sequence, r.hash) for r in results]
    assert [bytes(row[3]) for row in chain[1:]] == [r.hash for r in results[:2]]


def test_stored_hashes_are_the_hash_of_the_canonical_form():
    call = PaidCall().settle()
    finalization.finalize(payment=call.request(700))

    assert ledger.rows(
        "SELECT kind, hash = sha256(previous_hash || convert_to("
        "billing.canonical_journal(j, billing.canonical_postings(j.id)), 'UTF8')) FROM billing.journal j"
        " WHERE entry_id = %s ORDER BY sequence",
        call.entry_id,
    ) == [("x402_settled", True), ("billing_commit", True)]


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (JournalKind.DEPOSIT_UNMATCHED, (("treasury", -5), ("user:{me}:available", 5))),
        (JournalKind.OVERRUN, (("treasury", -5), ("system:revenue", 5))),
        (JournalKind.DEPOSIT_UNMATCHED, (("treasury", 5), ("system:suspense", -5))),
        (JournalKind.SERVED_DEFERRED, (("system:receivable:0x1", -5), ("system:receivable:0x2", 5))),
        (JournalKind.X402_SETTLED, (("treasury", -5), ("user:{me}:held", 5))),
        (JournalKind.CREDIT_NOTE_OWED, (("treasury", -5), ("system:credit_notes:0x1", 5))),
        (JournalKind.STATE_CHANGE, (("treasury", -5), ("system:suspense", 5))),
    ],
    ids=[
        "foreign account",
        "treasury",
        "sign",
        "two wallets",
        "hold without entry",
        "credit without note",
        "no postings",
    ],
)
def test_postings_that_do_not_fit_the_template_of_their_kind_are_refused(kind, lines):
    me = new_id("acc")
    postings = [
        Posting(ledger.TREASURY if name == "treasury" else name.format(me=me), ledger.USDC, amount)
        for name, amount in lines
        if "available" not in name
    ]
    if len(postings) < len(lines):
        postings = [Posting("system:refunds_payable", ledger.USDC, -5), Posting("system:suspense", ledger.USDC, 5)]
    key = unique()

    [result] = append([Journal(kind, key, postings)])

    assert result.status == "posting_refused"
    assert ledger.journal_count(key) == 0


def test_an_account_that_is_not_in_the_chart_is_refused_and_its_neighbours_are_written():
    bad = Journal(
        JournalKind.DEPOSIT_UNMATCHED,
        unique(),
        (Posting("my:own:account", ledger.USDC, 5), ledger.posting(ledger.TREASURY, -5)),
    )
    good = [suspense_journal(), suspense_journal()]

    results = append([good[0], bad, good[1]])

    assert ledger.statuses(results) == ["ok", "refused_by_database", "ok"]


def test_group_commit_refuses_inside_a_transaction_at_once():
    with transaction.atomic(), pytest.raises(InsideTransaction):
        append([suspense_journal()])


def test_a_transaction_may_append_its_own_journals_once():
    key, lost = unique(), unique()

    with transaction.atomic():
        [result] = append_in_transaction([suspense_journal(key=key)])
    with transaction.atomic():
        append_in_transaction([suspense_journal(key=lost)])
        transaction.set_rollback(True)

    assert result.status == "ok"
    assert (ledger.journal_count(key), ledger.journal_count(lost)) == (1, 0)
    with pytest.raises(InsideTransaction):
        append_in_transaction([suspense_journal()])


def test_a_second_append_in_one_transaction_is_refused():
    with transaction.atomic():
        append_in_transaction([suspense_journal()])
        with pytest.raises(OperationalError):
            append_in_transaction([suspense_journal()])
        transaction.set_rollback(True)


def test_threads_that_append_at_once_are_written_once_each():
    keys = [[unique() for _ in range(10)] for _ in range(8)]
    found: list[str] = []

    def write(own):
        for key in own:
            found.extend(ledger.statuses(append([suspense_journal(key=key)])))

    threads = [threading.Thread(target=write, args=(own,)) for own in keys]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert found == ["ok"] * 80
    assert [ledger.journal_count(key) for own in keys for key in own] == [1] * 80


def test_a_closed_period_takes_nothing_dated_into_it():
    until = ledger.next_period_end()
    close_period(until=until, closed_by="ada")

    results = append(
        [
            suspense_journal(effective_at=until),
            suspense_journal(effective_at=until + dt.timedelta(microseconds=1)),
            suspense_journal(effective_at=dt.datetime.now(dt.UTC) + dt.timedelta(days=2)),
        ]
    )

    assert ledger.statuses(results) == ["period_closed", "ok", "effective_at_out_of_range"]


def test_a_prepaid_hold_is_committed_and_the_rest_is_available_again():
    account_id, entry_id = prepaid_account(1_000), new_id("ent")
    reservations.reserve(entry_id=entry_id, account_id=account_id, amount_micro_usd=600, correlation_id="")

    reservations.commit(
        entry_id=entry_id, account_id=account_id, held_micro_usd=600, cost_micro_usd=45, correlation_id=""
    )

    assert ledger.balance(accounts.available(account_id), "MicroUSD") == 955
    assert ledger.balance(accounts.held(account_id), "MicroUSD") == 0
    with pytest.raises(WrongState):
        reservations.release(
            entry_id=entry_id, account_id=account_id, held_micro_usd=600, correlation_id="", reason="user_cancel"
        )


def test_a_commit_of_less_than_the_hold_is_refused():
    account_id, entry_id = prepaid_account(1_000), new_id("ent")
    reservations.reserve(entry_id=entry_id, account_id=account_id, amount_micro_usd=600, correlation_id="")

    from billing.domain.errors import PostingRefused

    with pytest.raises(PostingRefused):
        reservations.commit(
            entry_id=entry_id, account_id=account_id, held_micro_usd=599, cost_micro_usd=45, correlation_id=""
        )

    assert ledger.entry_state(entry_id) == "RESERVE_HELD"


def test_only_expired_holds_that_nobody_keeps_are_released():
    account_id = prepaid_account(1_000)
    entries = {name: new_id("ent") for name in ("expired", "kept", "running")}
    for name, entry_id in entries.items():
        seconds = 300 if name == "running" else 0
        reservations.reserve(
            entry_id=entry_id, account_id=account_id, amount_micro_usd=100, correlation_id="", hold_seconds=seconds
        )
    assert reservations.extend(entry_id=entries["kept"], hold_seconds=60)

    while reservations.release_expired():
        pass

    assert {name: ledger.entry_state(entry_id) for name, entry_id in entries.items()} == {
        "expired": "RELEASED",
        "kept": "RESERVE_HELD",
        "running": "RESERVE_HELD",
    }
    assert ledger.balance(accounts.available(account_id), "MicroUSD") == 800


def test_one_spend_key_of_a_wallet_spends_once():
    call = PaidCall(amount=2_000).settle()
    finalization.credit_owed(payment=call.request(0, to_state="credited"), reason="failed")
    spend = {
        "wallet": call.wallet,
        "account_id": call.account_id,
        "denomination": ledger.USDC,
        "spend_key": "one",
        "entry_id": new_id("ent"),
        "correlation_id": "",
        "transition": None,
    }

    results = [credit_spending.hold_credit(amount_micro_usdc=amount, **spend) for amount in (500, 500, 600)]

    assert ledger.statuses(results) == ["ok", "exists", "key_reused"]
    assert ledger.notes_of(call.wallet) == [("owed", 2_000, 1_500)]


def test_a_journal_without_its_entry_in_the_right_state_is_refused():
    call = PaidCall(amount=100).settle()
    finalization.credit_owed(payment=call.request(0, to_state="credited"), reason="failed")

    with pytest.raises((WrongState, KeyReused)):
        finalization.fail_finalize(entry_id=call.entry_id, reason="late")


def test_a_forked_or_new_process_has_its_own_ledger():
    assert append_journal._ledger() is append_journal._ledger()
