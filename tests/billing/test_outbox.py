"""Events exist exactly when what they tell of was committed, each once, with what a receiver needs."""

import json
import threading

import psycopg
import pytest
from django.conf import LazySettings, settings
from django.db import connection, transaction

from billing.domain.errors import Refused
from billing.domain.webhook_events import EventType
from billing.services import dead_letters, outbox, reservations
from billing.services.finalization import credit_owed, finalize
from billing.services.refunds import confirm_refund, mark_refundable, start_refund
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.ledger import PaidCall

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("payment_table")]


@pytest.fixture(autouse=True)
def _from_now_on() -> None:
    """What other tests booked is passed over."""
    ledger.rows(
        "INSERT INTO billing_outboxcursor (stream, sequence) SELECT id, sequence FROM billing.stream"
        " ON CONFLICT (stream) DO UPDATE SET sequence = EXCLUDED.sequence RETURNING stream"
    )


def events(event_type: EventType, word: str) -> list[dict]:
    """The payloads of a kind that mention a word, oldest first."""
    found = ledger.rows(
        "SELECT payload::text FROM billing_outboxevent WHERE type = %s AND payload::text LIKE %s ORDER BY id",
        event_type.value,
        f"%{word}%",
    )
    return [json.loads(payload) for (payload,) in found]


def test_an_event_whose_transaction_was_undone_never_was() -> None:
    with transaction.atomic():
        outbox.publish(EventType.KEY_LOW_BALANCE, {"account_id": "acc_undone"}, key="undone")
        transaction.set_rollback(True)

    assert events(EventType.KEY_LOW_BALANCE, "acc_undone") == []


def test_the_same_key_is_one_event() -> None:
    account_id, key = new_id("acc"), ledger.unique("same")

    first = outbox.publish(EventType.KEY_LOW_BALANCE, {"account_id": account_id}, key=key)
    again = outbox.publish(EventType.KEY_LOW_BALANCE, {"account_id": account_id, "more": "1"}, key=key)

    assert (first, again) == (True, False)
    assert events(EventType.KEY_LOW_BALANCE, account_id) == [{"account_id": account_id}]


def test_a_settled_payment_and_its_change_are_told_from_their_journals_once() -> None:
    call = PaidCall(amount=2_000).settle()
    booked = finalize(payment=call.request(700))

    outbox.relay_journals()
    outbox.relay_journals()

    [settled] = events(EventType.PAYMENT_SETTLED, call.payment_id)
    assert (settled["amount"], settled["tx_hash"], settled["log_index"]) == ("2000", call.tx_hash, 1)
    assert settled["denomination"] == ledger.USDC
    [issued] = events(EventType.CREDIT_NOTE_ISSUED, call.wallet)
    assert (issued["credit_note_id"], issued["kind"], issued["amount"]) == (booked.credit_note_id, "change", "1300")
    assert issued["source"] == call.payment_id


def test_work_that_failed_tells_of_a_note_that_never_expires() -> None:
    call = PaidCall(amount=900).settle()
    credit_owed(payment=call.request(0, to_state="credited"), reason="paid_work_failed")

    outbox.relay_journals()

    [issued] = events(EventType.CREDIT_NOTE_ISSUED, call.wallet)
    assert (issued["kind"], issued["amount"], issued["expires_at"]) == ("owed", "900", None)


def test_a_refund_that_the_chain_shows_is_told() -> None:
    call = PaidCall(amount=900).settle()
    credit_owed(payment=call.request(0, to_state="credited"), reason="paid_work_failed")
    mark_refundable(sources=[call.payment_id])
    refund_id = new_id("ref")
    start_refund(refund_id=refund_id, wallet=call.wallet, denomination=ledger.USDC, amount_micro_usdc=900)
    confirm_refund(
        refund_id=refund_id,
        denomination=ledger.USDC,
        paid_from=ledger.TREASURY,
        amount_micro_usdc=900,
        tx_hash=call.tx_hash,
        log_index=4,
    )

    outbox.relay_journals()

    [paid] = events(EventType.REFUND_PAID, refund_id)
    assert (paid["amount"], paid["tx_hash"], paid["log_index"]) == ("900", call.tx_hash, 4)


def test_a_balance_is_told_to_be_low_when_it_falls_below_the_mark_and_not_again_below_it(
    settings: LazySettings,
) -> None:
    settings.LOA = {**settings.LOA, "KEY_LOW_BALANCE_MICRO_USD": 1_000}
    account_id = ledger.prepaid_account(1_500)
    for amount in (500, 1, 100):
        reservations.reserve(
            entry_id=new_id("ent"), account_id=account_id, amount_micro_usd=amount, correlation_id="quo_low"
        )

    outbox.relay_journals()

    [low] = events(EventType.KEY_LOW_BALANCE, account_id)
    assert low == {"account_id": account_id, "balance_micro_usd": "999", "mark_micro_usd": "1000"}


def test_a_note_that_expires_within_a_day_is_announced_once() -> None:
    call = PaidCall(amount=2_000).settle()
    note_id = finalize(payment=call.request(700)).credit_note_id
    with psycopg.connect(settings.DATABASE_DIRECT_URL, autocommit=True) as owner:
        owner.execute(
            "UPDATE billing.credit_note SET expires_at = clock_timestamp() + interval '23 hours' WHERE id = %s",
            [note_id],
        )

    outbox.announce_expiring()
    outbox.announce_expiring()

    [expiring] = events(EventType.CREDIT_NOTE_EXPIRING, note_id)
    assert (expiring["remaining"], expiring["wallet"]) == ("1300", call.wallet)


def test_a_poisoned_letter_is_told_in_the_transaction_that_poisons_it() -> None:
    ledger.rows("UPDATE billing.dead_letter SET state = 'done' WHERE state IN ('pending', 'poisoned') RETURNING id")
    letter_id = dead_letters.enqueue(
        queue="finalize", subject_id=ledger.unique("ent"), reason="x", payload={"schema_version": 1}
    )
    for _ in range(5):
        ledger.rows(
            "UPDATE billing.dead_letter SET next_retry_at = clock_timestamp() WHERE id = %s RETURNING id", letter_id
        )
        [letter] = dead_letters.due("finalize", owner="w")
        dead_letters.record_attempt(letter, error="refused", is_refusal=True)

    [poisoned] = events(EventType.DEAD_LETTER_POISONED, letter_id)
    assert (poisoned["attempts"], poisoned["queue"], poisoned["reason"]) == (5, "finalize", "refused")


def test_eight_relays_at_once_tell_each_journal_once() -> None:
    calls = [PaidCall(amount=2_000).settle() for _ in range(20)]
    barrier = threading.Barrier(8)

    def relay() -> None:
        barrier.wait()
        for _ in range(5):
            outbox.relay_journals(limit=3)
        connection.close()

    threads = [threading.Thread(target=relay) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while outbox.relay_journals():
        pass

    assert [len(events(EventType.PAYMENT_SETTLED, call.payment_id)) for call in calls] == [1] * 20


def test_events_are_forgotten_after_a_month_unless_somebody_waits_for_them() -> None:
    key = ledger.unique("old")
    outbox.publish(EventType.KEY_LOW_BALANCE, {"account_id": key}, key=key)
    ledger.rows(
        "UPDATE billing_outboxevent SET created_at = clock_timestamp() - interval '31 days' WHERE key = %s"
        " RETURNING id",
        key,
    )

    assert outbox.forget_old() >= 1

    assert events(EventType.KEY_LOW_BALANCE, key) == []


def test_an_endpoint_asks_only_for_events_that_exist() -> None:
    from billing.services.webhooks import create_endpoint

    with pytest.raises(Refused):
        create_endpoint("https://example.com/", event_types=["payment.lost"], description="", by="ada")
    with pytest.raises(Refused):
        create_endpoint("https://example.com/", event_types=[], description="", by="ada")
    with pytest.raises(Refused):
        create_endpoint("http://example.com/", event_types=["payment.settled"], description="", by="ada")
