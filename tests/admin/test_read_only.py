"""Nobody changes a row of value through the staff pages, whatever they send and whoever they are."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client

from billing.models import Journal, Posting
from tests.admin.addresses import address, pages_of, read_only_models, rows_of
from tests.admin.books import Book
from x402.models import Payment

EXPECTED_READ_ONLY = {
    "accounts.Account",
    "accounts.AuditEvent",
    "accounts.Session",
    "accounts.Wallet",
    "billing.Account",
    "billing.Approval",
    "billing.BillingEntry",
    "billing.BulkDecision",
    "billing.CreditNote",
    "billing.DeadLetter",
    "billing.Journal",
    "billing.OutboxEvent",
    "billing.Stream",
    "billing.WebhookDelivery",
    "inference.CallUsage",
    "inference.ModelPrice",
    "inference.OwnKey",
    "loa_site.PolicyReport",
    "nft.OnboardingSession",
    "nft.Personality",
    "waitlist.Entry",
    "waitlist.InviteBatch",
    "waitlist.Mail",
    "x402.ChainTransaction",
    "x402.KeptQuote",
    "x402.Payment",
    "x402.Reconciliation",
    "x402.Refund",
    "x402.Relayer",
}


def test_every_model_of_value_has_a_page_that_only_shows():
    assert {model._meta.label for model in read_only_models()} == EXPECTED_READ_ONLY


def test_a_superuser_can_add_change_or_delete_no_row_of_value(staff: Client, book: Book):
    before = (Journal.objects.latest("id").pk, Posting.objects.filter(journal__correlation_id=book.quote.id).count())

    for model, key in rows_of(book).items():
        answers = {
            "add": staff.get(address(model, "add")).status_code,
            "add, sent": staff.post(address(model, "add"), {"id": "jrn_forged"}).status_code,
            "change, sent": staff.post(address(model, "change", key), {"state": "dead"}).status_code,
            "delete": staff.get(address(model, "delete", key)).status_code,
            "delete, sent": staff.post(address(model, "delete", key), {"post": "yes"}).status_code,
        }
        assert set(answers.values()) == {403}, (model, answers)
        chosen = {"action": "delete_selected", "_selected_action": [key], "post": "yes"}
        assert staff.post(address(model, "changelist"), chosen).status_code == 405, model

    assert before == (
        Journal.objects.latest("id").pk,
        Posting.objects.filter(journal__correlation_id=book.quote.id).count(),
    )
    assert Payment.objects.get(pk=book.payment.pk).state == "served"


def test_no_page_of_a_row_of_value_has_a_form_that_could_be_sent_back(staff: Client, book: Book):
    for model, key in rows_of(book).items():
        page = staff.get(address(model, "change", key)).content.decode()

        assert page.count('method="post"') == page.count('id="logout-form"') == 1, model


def test_pages_are_closed_to_strangers_and_to_users_who_are_not_staff(book: Book):
    stranger, customer = Client(), Client()
    customer.force_login(User.objects.create_user(f"customer-{book.payment.id}"))

    for client in (stranger, customer):
        for page in pages_of(book):
            answer = client.get(page)
            assert answer.status_code == 302, page
            assert answer["Location"].startswith("/admin/login/"), page


@pytest.mark.parametrize("codename", ["view_payment", "view_journal"])
def test_staff_see_only_what_they_have_the_permission_to_view(book: Book, codename: str):
    clerk, user = Client(), User.objects.create_user(f"clerk-{book.payment.id}", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename=codename))
    clerk.force_login(user)

    open_to_them = {
        model._meta.model_name
        for model in admin.site._registry
        if clerk.get(address(model, "changelist")).status_code == 200
    }

    assert open_to_them == {codename.removeprefix("view_")}
    assert "Trial balance" not in clerk.get("/admin/").content.decode()


def test_session_pages_show_neither_tokens_nor_their_hashes(staff: Client, book: Book):
    page = staff.get(address(type(book.session), "change", book.session.pk)).content.decode()

    assert book.session.id in page
    assert book.session.token_hash not in page
    assert book.session.refresh_hash not in page
