"""What staff do from the pages: once, with a reason, written down, and by two where two are asked for."""

import re
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent
from billing.admin.acts import ReasonForm
from billing.locks.fencing import fence_keys
from billing.models import Approval, BulkDecision, WebhookDelivery
from billing.services import bulk_decisions, dead_letters, fence
from billing.services.bulk_decisions import Selection
from loa_site.roles import FINANCE, OPERATOR, SUPPORT
from outbound.breaker_state import settlement_breaker
from outbound.redis_scripts import redis_client
from tests.admin.staff import browser_of, confirm, member
from tests.admin.staff_rows import a_delivery
from tests.billing.dead_letters.test_finalize_drain import deferred, letter_of
from tests.factories import ledger, queues

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module", autouse=True)
def payment_table(django_db_setup: None) -> None:
    ledger.make_payment_table()


@pytest.fixture(autouse=True)
def _empty_queues(transactional_db: None) -> Iterator[None]:
    queues.empty()
    yield
    queues.empty()


def write_letter() -> str:
    return dead_letters.enqueue(
        queue="settlement", subject_id=ledger.unique("pay"), reason="rpc_unreachable", payload={"schema_version": 1}
    )


def act_page(model: str, key: object, act: str) -> str:
    return reverse(f"admin:billing_{model}_act", args=[str(key).replace("_", "_5F"), act])


def audit_of(subject: str) -> list[tuple[str, str, str]]:
    rows = AuditEvent.objects.filter(subject=subject).order_by("id")
    return [(row.action, row.reason, row.facts["outcome"]) for row in rows]


def test_a_double_click_retries_once_and_says_so():
    letter_id, user = write_letter(), member(SUPPORT)

    said = confirm(browser_of(user), act_page("deadletter", letter_id, "retry"), times=3)

    assert said[-1].startswith("That was done already")
    assert [action for action, *_ in audit_of(letter_id)] == ["deadletter.retry"]
    letter = dead_letters.letter_of(letter_id)
    assert (letter.state, letter.resolved_by, letter.resolution) == (
        "pending",
        user.username,
        "because the test says so",
    )


def test_a_letter_is_voided_with_a_reason_and_its_page_shows_who_did_it():
    letter_id, client = write_letter(), browser_of(member(FINANCE))

    said = confirm(client, act_page("deadletter", letter_id, "void"), reason="paid by bank transfer")

    assert said == ["It is voided. What it was about stays as it is in the books."]
    assert dead_letters.letter_of(letter_id).state == "voided"
    page = client.get(reverse("admin:billing_deadletter_change", args=[letter_id.replace("_", "_5F")]))
    assert "paid by bank transfer" in page.content.decode()
    assert "Retry now" not in page.content.decode()


def test_a_note_is_kept_and_shown_and_changes_nothing():
    letter_id, client = write_letter(), browser_of(member(SUPPORT))
    before = dead_letters.letter_of(letter_id)

    confirm(client, act_page("deadletter", letter_id, "annotate"), reason="<script>alert(1)</script> =cmd()")

    assert dead_letters.letter_of(letter_id) == before
    page = client.get(reverse("admin:billing_deadletter_change", args=[letter_id.replace("_", "_5F")]))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.content.decode()
    assert "<script>alert" not in page.content.decode()


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_without_a_reason_nothing_is_done(reason: str):
    letter_id, client = write_letter(), browser_of(member(FINANCE))
    page = act_page("deadletter", letter_id, "void")
    token = client.get(page).context["form"].initial["token"]

    answer = client.post(page, {"reason": reason, "token": token})

    assert (answer.status_code, dead_letters.letter_of(letter_id).state) == (200, "pending")
    assert "Nothing was done." in answer.content.decode()
    assert not ReasonForm({"reason": reason, "token": "t"}).is_valid()


def test_an_act_on_a_row_that_has_ended_says_why_nothing_was_done():
    letter_id, client = write_letter(), browser_of(member(FINANCE))
    page = act_page("deadletter", letter_id, "void")
    dead_letters.void(letter_id, by="bob", reason="faster")

    [said] = confirm(client, page)

    assert said.startswith("Nothing was done: wrong_state")
    assert audit_of(letter_id) == []


def test_a_decision_about_all_letters_is_carried_out_by_a_worker_and_asked_once():
    letters = [write_letter() for _ in range(30)]
    asker = member(FINANCE)
    client = browser_of(asker)
    listed = client.get(reverse("admin:billing_deadletter_changelist") + "?queue=settlement&state=pending")
    assert "Void all of them" in listed.content.decode()
    page = reverse("admin:billing_deadletter_bulk", args=["settlement", "pending", "void"])
    assert "30 letters" in client.get(page).content.decode()

    confirm(client, page, times=2)

    decision = BulkDecision.objects.get(asked_by=asker.username)
    assert {dead_letters.letter_of(one).state for one in letters} == {"pending"}
    bulk_decisions.run_open()
    decision.refresh_from_db()
    assert (decision.decided, decision.finished_at is not None) == (30, True)
    assert {dead_letters.letter_of(one).state for one in letters} == {"voided"}


def test_a_hundred_thousand_letters_are_decided_about_in_parts_while_the_page_answers_at_once():
    BulkDecision.objects.filter(finished_at=None).update(finished_at="2026-01-01T00:00:00Z")
    many = 100_000
    ledger.rows(
        "INSERT INTO billing.dead_letter (id, queue, subject_id, reason, state, payload, schema_version, created_at)"
        " SELECT 'dlq_bulk' || lpad(n::text, 12, '0') || %s, 'settlement', 'bulk-' || n || %s, 'many', 'poisoned',"
        " '{\"schema_version\": 1}', 1, clock_timestamp() - interval '1 hour'"
        " FROM generate_series(1, %s) n RETURNING 1",
        suffix := ledger.unique("b"),
        suffix,
        many,
    )
    page = reverse("admin:billing_deadletter_bulk", args=["settlement", "poisoned", "void"])
    asker = member(FINANCE)
    client = browser_of(asker)
    selection = Selection("settlement", "poisoned")
    assert bulk_decisions.count_of(selection) == many

    confirm(client, page)

    assert bulk_decisions.run_open(parts=3) == 3 * bulk_decisions.PART
    while BulkDecision.objects.filter(finished_at=None).exists():
        bulk_decisions.run_open()
    assert bulk_decisions.count_of(selection) == 0
    assert BulkDecision.objects.get(asked_by=asker.username).decided == many


def test_the_fence_is_reset_by_two_people_and_not_by_one():
    maker, checker = member(OPERATOR), member(OPERATOR, FINANCE)
    keys, client = fence_keys(0), redis_client()
    client.set(keys.last_accepted, "abc")
    [said] = confirm(browser_of(maker), act_page("stream", 0, "fence-reset"))
    approval = Approval.objects.get(maker=maker.username)
    assert said.startswith(approval.id)

    [alone] = confirm(browser_of(maker), act_page("approval", approval.id, "agree"))
    assert "self_approval" in alone
    assert client.get(keys.last_accepted) == b"abc"
    [together] = confirm(browser_of(checker), act_page("approval", approval.id, "agree"))

    assert together.startswith("The fence of stream 0 is at its row's token")
    assert client.get(keys.last_accepted).decode() == str(fence.fence_status()[0].last_token)
    assert [outcome for _, _, outcome in audit_of(approval.id)][:2] == ["asked", "refused"]


def test_a_booking_that_failed_is_given_back_by_two_people_and_its_letter_ends():
    call = deferred()
    queues.work_off()
    letter, maker, checker = letter_of(call), member(FINANCE), member(FINANCE)
    assert letter.state == "poisoned"
    confirm(browser_of(maker), act_page("deadletter", letter.id, "give-back"), reason="the work cost nothing")
    approval = Approval.objects.get(maker=maker.username)

    confirm(browser_of(checker), act_page("approval", approval.id, "agree"))

    assert ledger.entry_state(call.entry_id) == "VOIDED"
    assert ledger.notes_of(call.wallet) == [("owed", call.amount, call.amount)]
    assert letter_of(call).state == "voided"


def test_a_circuit_is_opened_and_closed_by_hand_and_written_down():
    client = browser_of(member(OPERATOR))

    confirm(client, reverse("admin:circuit", args=["settlement", "open"]), reason="they told us to stop")
    opened = settlement_breaker.state().value
    confirm(client, reverse("admin:circuit", args=["settlement", "close"]), reason="they are back")

    assert (opened, settlement_breaker.state().value) == ("OPEN", "CLOSED")
    actions = AuditEvent.objects.filter(subject="settlement").values_list("action", flat=True)
    assert {"circuit.open", "circuit.close"} <= set(actions)


def test_a_webhook_is_sent_again_by_support():
    delivery = a_delivery()
    WebhookDelivery.objects.filter(pk=delivery.pk).update(state="failed", tries=10)

    confirm(browser_of(member(SUPPORT)), act_page("webhookdelivery", delivery.pk, "replay"))

    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries) == ("pending", 0)


def test_an_endpoint_is_made_stopped_and_shown_its_secret_only_to_those_who_may():
    operator = browser_of(member(OPERATOR))
    wanted = {"url": "https://books.example.com/made", "event_types": ["refund.paid"], "is_active": "on"}

    refused = operator.post(reverse("admin:billing_webhookendpoint_add"), wanted | {"url": "http://10.0.0.1/"})
    made = operator.post(reverse("admin:billing_webhookendpoint_add"), wanted)

    assert "The URL must begin with https://" in refused.content.decode()
    assert made.status_code == 302
    page = re.search(r"/admin/billing/webhookendpoint/[^/\"]+/change/", operator.get(made["Location"]).content.decode())
    assert "whsec_" in operator.get(page.group()).content.decode()
    assert "whsec_" not in browser_of(member(SUPPORT)).get(page.group()).content.decode()


def test_nobody_reaches_an_act_that_does_not_exist(staff: Client):
    letter_id = write_letter()

    assert staff.get(act_page("deadletter", letter_id, "forget")).status_code == 404
    assert staff.get(act_page("deadletter", "dlq_nobody", "void")).status_code == 404
    assert staff.get(reverse("admin:circuit", args=["nobody", "open"])).status_code == 404
    assert staff.get(reverse("admin:billing_deadletter_bulk", args=["mail", "pending", "void"])).status_code == 404
