"""What each task finds to do, and the one effect that must be there however often it was killed on the way."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from accounts.models import Account, ApiKeyUse, UsedNonce, Wallet
from accounts.models import Session as SignIn
from billing.domain import accounts
from billing.domain.webhook_events import EventType
from billing.models import BulkDecision, DeadLetter, OutboxEvent, WebhookDelivery
from billing.services import bulk_decisions, dead_letters, outbox, reservations, webhooks
from billing.services.bulk_decisions import Selection
from billing.services.finalization import finalize
from loa_site.local.ports import free_port
from telemetry.identifiers import new_id
from tests.admin.books import hexadecimal, session_of
from tests.billing.dead_letters.test_finalize_drain import deferred, letter_of, repair
from tests.factories import ledger, queues
from tests.factories.ledger import PaidCall
from tests.factories.receivers import receiver
from waitlist.models import Entry, InviteBatch, JoinRequest, Mail
from waitlist.models.entry import EntryState


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing to do. `check` asserts its one effect; `loa` and `settings` are what the task runs under.

    `time_passes` ends the leases of the killed, after which the task is run again.
    """

    check: Callable[[], None]
    loa: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    time_passes: Callable[[], None] = lambda: None


def as_owner(statement: str, *parameters: object) -> None:
    """Change what the application's role may not: a moment that the clock would bring."""
    with psycopg.connect(settings.DATABASE_DIRECT_URL, autocommit=True) as owner:
        owner.execute(statement, parameters)


def long_ago() -> Any:
    return timezone.now() - timedelta(days=400)


@contextmanager
def old_sign_ins() -> Iterator[Scene]:
    """A used nonce, a session and a day of a key's use that nobody can need, beside such as are needed."""
    account = Account.objects.create(label="A payer")
    wallet = Wallet.objects.create(account=account, address=hexadecimal(20))
    old, fresh = session_of(account, wallet), session_of(account, wallet)
    SignIn.objects.filter(pk=old.pk).update(refresh_expires_at=long_ago())
    nonces = [secrets.token_hex(20) for _ in range(2)]
    family = new_id("key")
    for nonce, day, ends in zip(nonces, (long_ago(), timezone.now()), (-1, 1), strict=True):
        UsedNonce.objects.create(nonce=nonce, expires_at=timezone.now() + timedelta(hours=ends))
        ApiKeyUse.objects.create(family=family, day=day.date(), amount_micro_usd=5)

    def check() -> None:
        assert list(SignIn.objects.filter(account=account).values_list("pk", flat=True)) == [fresh.pk]
        assert list(UsedNonce.objects.filter(nonce__in=nonces).values_list("nonce", flat=True)) == [nonces[1]]
        assert [use.day for use in ApiKeyUse.objects.filter(family=family)] == [timezone.now().date()]

    yield Scene(check)


@contextmanager
def note_about_to_expire() -> Iterator[Scene]:
    call = PaidCall(amount=2_000).settle()
    note_id = finalize(payment=call.request(700)).credit_note_id
    as_owner(
        "UPDATE billing.credit_note SET expires_at = clock_timestamp() + interval '23 hours' WHERE id = %s", note_id
    )

    def check() -> None:
        assert OutboxEvent.objects.filter(key__startswith=f"expiring:{note_id}:").count() == 1

    yield Scene(check)


@contextmanager
def event_to_deliver() -> Iterator[Scene]:
    """A settlement that one endpoint is to hear of."""
    queues.nothing_to_tell()
    with receiver() as stranger:
        loa = {"OUTBOUND_TRUSTED_HOSTS": [stranger.origin]}
        with override_settings(LOA={**settings.LOA, **loa}):
            endpoint = webhooks.create_endpoint(stranger.url, event_types=["payment.settled"], description="", by="ada")
        call = PaidCall(amount=2_000).settle()

        def time_passes() -> None:
            WebhookDelivery.objects.filter(endpoint=endpoint).update(lease_until=None, next_try_at=timezone.now())

        def check() -> None:
            [delivery] = WebhookDelivery.objects.filter(endpoint=endpoint)
            ids = [message.headers["webhook-id"] for message in stranger.received]
            # What was sent and not written down is sent again, under the same id.
            assert (delivery.state, set(ids), len(ids) <= 2) == ("delivered", {delivery.event_id}, True)
            assert delivery.event.payload["payment_id"] == call.payment_id

        yield Scene(check, loa=loa, time_passes=time_passes)


@contextmanager
def letter_to_book() -> Iterator[Scene]:
    call = deferred()
    repair(call)

    def time_passes() -> None:
        ledger.rows(
            "UPDATE billing.dead_letter SET lease_until = NULL, next_retry_at = clock_timestamp()"
            " WHERE subject_id = %s AND state = 'pending' RETURNING id",
            call.entry_id,
        )

    def check() -> None:
        assert letter_of(call).state == "done"
        assert ledger.kinds_of(call.entry_id).count("billing_commit") == 1
        assert ledger.notes_of(call.wallet) == [("change", 1_300, 1_300)]

    yield Scene(check, time_passes=time_passes)


@contextmanager
def letter_of_yesterday() -> Iterator[Scene]:
    letter_id = write_letter()
    ledger.rows(
        "UPDATE billing.dead_letter SET created_at = clock_timestamp() - interval '2 days' WHERE id = %s RETURNING id",
        letter_id,
    )

    def check() -> None:
        assert DeadLetter.objects.get(pk=letter_id).escalated_at is not None

    yield Scene(check)


def write_letter() -> str:
    return dead_letters.enqueue(
        queue="settlement", subject_id=ledger.unique("pay"), reason="rpc_unreachable", payload={"schema_version": 1}
    )


@contextmanager
def hold_and_note_that_expired() -> Iterator[Scene]:
    account_id, entry_id = ledger.prepaid_account(1_000), new_id("ent")
    reservations.reserve(
        entry_id=entry_id, account_id=account_id, amount_micro_usd=300, correlation_id="quo_old", hold_seconds=0
    )
    call = PaidCall(amount=2_000).settle()
    note_id = finalize(payment=call.request(700)).credit_note_id
    as_owner("UPDATE billing.credit_note SET expires_at = clock_timestamp() - interval '1 hour' WHERE id = %s", note_id)

    def check() -> None:
        assert ledger.entry_state(entry_id) == "RELEASED"
        assert ledger.balance(accounts.available(account_id), accounts.PREPAID) == 1_000
        assert ledger.kinds_of(entry_id).count("billing_release") == 1
        assert ledger.notes_of(call.wallet) == [("change", 1_300, 0)]
        assert ledger.rows("SELECT count(*) FROM billing.journal WHERE key LIKE %s", f"expire:{note_id}:%") == [(1,)]

    yield Scene(check)


@contextmanager
def events_of_long_ago() -> Iterator[Scene]:
    """One event that is over and one that somebody still waits for."""
    queues.nothing_to_tell()
    endpoint = webhooks.create_endpoint(
        "https://books.example.com/hook", event_types=["key.low_balance"], description="", by="ada"
    )
    keys = [ledger.unique("event") for _ in range(2)]
    for key in keys:
        outbox.publish(EventType.KEY_LOW_BALANCE, {"account_id": "acc_1"}, key=key)
    webhooks.address_events()
    OutboxEvent.objects.filter(key__in=keys).update(created_at=long_ago())
    WebhookDelivery.objects.filter(endpoint=endpoint).update(created_at=long_ago())
    WebhookDelivery.objects.filter(endpoint=endpoint, event__key=keys[0]).update(state="delivered")

    def check() -> None:
        assert list(OutboxEvent.objects.filter(key__in=keys).values_list("key", flat=True)) == [keys[1]]
        assert WebhookDelivery.objects.filter(endpoint=endpoint).count() == 1

    yield Scene(check)


@contextmanager
def decisions_about_letters() -> Iterator[Scene]:
    """Two decisions: some letters are voided, others tried again."""
    ledger.rows("UPDATE billing.dead_letter SET state = 'done' WHERE queue = 'settlement' RETURNING id")
    poisoned, waiting = [[write_letter() for _ in range(3)] for _ in range(2)]
    DeadLetter.objects.filter(pk__in=poisoned).update(state="poisoned")
    asked = [
        bulk_decisions.ask(Selection("settlement", state), act=act, by="ada", reason="a test")
        for state, act in (("pending", "void"), ("poisoned", "retry"))
    ]

    def check() -> None:
        assert {dead_letters.letter_of(one).state for one in waiting} == {"voided"}
        assert {dead_letters.letter_of(one).state for one in poisoned} == {"pending"}
        rows = BulkDecision.objects.filter(pk__in=[one.pk for one in asked])
        assert [(row.decided, row.finished_at is not None) for row in rows] == [(3, True)] * 2

    yield Scene(check)


@contextmanager
def books_to_prove() -> Iterator[Scene]:
    """The proof reads and writes nothing."""
    [(before,)] = ledger.rows("SELECT count(*) FROM billing.journal")

    def check() -> None:
        assert ledger.rows("SELECT count(*) FROM billing.journal") == [(before,)]

    yield Scene(check)


class Mailboxes(Message):
    """Who was written to, by a server that takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.recipients: list[str] = []

    def handle_message(self, message: Any) -> None:
        """Keep whom it is for."""
        self.recipients.append(message["X-RcptTo"])


@contextmanager
def people_on_the_waitlist() -> Iterator[Scene]:
    """Somebody who asked to join, and somebody who is next in line while staff invite one."""
    for model in (JoinRequest, Mail, Entry, InviteBatch):
        model.objects.all().delete()
    asking, invited = (f"{name}.{secrets.token_hex(6)}@example.com" for name in ("ada", "bob"))
    JoinRequest.objects.create(email=asking, email_key=asking, language="en", consent_version="1")
    now = timezone.now()
    facts = {"consent_version": "1", "consented_at": now, "confirmed_at": now, "rank_at": now}
    Entry.objects.create(email=invited, email_key=invited, state=EntryState.WAITING, **facts)
    batch = InviteBatch.objects.create(pk=new_id("bat"), wanted=1, created_by="ada", reason="a test")
    boxes = Mailboxes()
    server = Controller(boxes, hostname="127.0.0.1", port=free_port())
    server.start()

    def time_passes() -> None:
        Mail.objects.filter(state=Mail.State.QUEUED).update(due_at=timezone.now())

    def check() -> None:
        batch.refresh_from_db()
        assert (batch.invited, batch.finished_at is not None) == (1, True)
        assert not JoinRequest.objects.exists()
        sent = [(mail.entry.email, mail.kind, mail.state) for mail in Mail.objects.order_by("kind")]
        assert sent == [(asking, "confirm", "sent"), (invited, "invite", "sent")]
        # A mail that was taken and not noted goes out again; nobody gets a third one.
        assert set(boxes.recipients) == {asking, invited}
        assert len(boxes.recipients) <= 3

    mail = {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": server.port,
    }
    try:
        yield Scene(check, settings=mail, time_passes=time_passes)
    finally:
        server.stop()


@contextmanager
def waitlist_of_long_ago() -> Iterator[Scene]:
    """Who never confirmed, who left, mails and requests of last year; and one of today."""
    for model in (JoinRequest, Mail, Entry, InviteBatch):
        model.objects.all().delete()
    facts = {"consent_version": "1", "consented_at": timezone.now()}
    made = [
        Entry.objects.create(email=f"{name}@example.com", email_key=f"{name}-{secrets.token_hex(4)}", **facts)
        for name in ("pending", "left", "fresh")
    ]
    Entry.objects.filter(pk=made[0].pk).update(created_at=long_ago())
    Entry.objects.filter(pk=made[1].pk).update(state=EntryState.LEFT, left_at=long_ago())
    Mail.objects.create(entry=made[2], kind="confirm", state=Mail.State.SENT, due_at=timezone.now())
    Mail.objects.update(created_at=long_ago())
    JoinRequest.objects.create(email="x@example.com", email_key="x", language="en", consent_version="1")
    JoinRequest.objects.update(created_at=long_ago())

    def check() -> None:
        assert list(Entry.objects.values_list("pk", flat=True)) == [made[2].pk]
        assert (Mail.objects.count(), JoinRequest.objects.count()) == (0, 0)

    yield Scene(check)


SCENES: Mapping[str, Callable[[], AbstractContextManager[Scene]]] = {
    "accounts.sweep": old_sign_ins,
    "billing.announce_expiring": note_about_to_expire,
    "billing.deliver_webhooks": event_to_deliver,
    "billing.drain_finalize": letter_to_book,
    "billing.escalate_dead_letters": letter_of_yesterday,
    "billing.expire": hold_and_note_that_expired,
    "billing.forget_events": events_of_long_ago,
    "billing.run_bulk_decisions": decisions_about_letters,
    "billing.verify_ledger": books_to_prove,
    "loa_site.observe": books_to_prove,
    "waitlist.forget": waitlist_of_long_ago,
    "waitlist.work": people_on_the_waitlist,
}
