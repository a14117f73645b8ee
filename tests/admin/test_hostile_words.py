"""Words of strangers on staff pages are words: no page runs, closes or hides anything by them (faults.md 70)."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Account
from billing.services import dead_letters
from billing.services.webhooks import create_endpoint
from tests.factories import ledger

pytestmark = pytest.mark.django_db(transaction=True)

PAYLOADS = [
    "<script>window.ran = true</script>",
    '"><img src=x onerror=window.ran=true>',
    "</pre></td></table><svg onload=window.ran=true>",
    "javascript:window.ran=true",
    "=cmd|' /C calc'!A0",
    "{{ settings.SECRET_KEY }}{% load x %}",
    "\u202etxt.exe\u202c",
]
MARKUP = ("<script>window", "<img src=x", "<svg onload", "onerror=window.ran=true>")


def require_harmless(text: str, payload: str) -> None:
    assert not [mark for mark in MARKUP if mark in text], payload
    assert "only-for-tests-000" not in text


@pytest.mark.parametrize("payload", PAYLOADS)
def test_reasons_errors_payloads_and_labels_are_shown_as_they_were_written(staff: Client, payload: str):
    letter_id = dead_letters.enqueue(
        queue="settlement",
        subject_id=ledger.unique("pay"),
        reason=payload,
        payload={"schema_version": 1, "note": payload},
        correlation_id="quo_hostile",
    )
    ledger.rows("UPDATE billing.dead_letter SET last_error = %s WHERE id = %s RETURNING id", payload, letter_id)
    account = Account.objects.create(label=payload[:60])
    endpoint = create_endpoint(
        "https://books.example.com/x", event_types=["refund.paid"], description=payload[:150], by="ada"
    )
    pages = [
        reverse("admin:billing_deadletter_changelist"),
        reverse("admin:billing_deadletter_change", args=[letter_id.replace("_", "_5F")]),
        reverse("admin:billing_deadletter_act", args=[letter_id.replace("_", "_5F"), "void"]),
        reverse("admin:accounts_account_changelist"),
        reverse("admin:accounts_account_change", args=[account.pk.replace("_", "_5F")]),
        reverse("admin:billing_webhookendpoint_changelist"),
        reverse("admin:billing_webhookendpoint_change", args=[endpoint.pk.replace("_", "_5F")]),
        reverse("admin:operations"),
        reverse("admin:dashboard"),
    ]

    for page in pages:
        answer = staff.get(page)
        assert answer.status_code == 200, page
        require_harmless(answer.content.decode(), payload)


def test_a_reason_of_staff_is_no_markup_either(staff: Client):
    letter_id = dead_letters.enqueue(
        queue="settlement", subject_id=ledger.unique("pay"), reason="x", payload={"schema_version": 1}
    )
    page = reverse("admin:billing_deadletter_act", args=[letter_id.replace("_", "_5F"), "annotate"])
    for payload in PAYLOADS:
        token = staff.get(page).context["form"].initial["token"]
        staff.post(page, {"reason": payload, "token": token})

    shown = staff.get(reverse("admin:billing_deadletter_change", args=[letter_id.replace("_", "_5F")]))

    require_harmless(shown.content.decode(), "a reason")
