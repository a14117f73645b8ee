"""Every address of the staff pages for one book, taken from the site's own registry so that none is forgotten."""

import secrets
from collections.abc import Iterator

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, FeatureFlag
from billing.admin.read_only import ReadOnlyAdmin
from billing.models import Account as LedgerAccount
from billing.models import BillingEntry, CreditNote, DeadLetter, Journal, Stream
from inference.models import Model as SoldModel
from inference.models import ModelPrice
from loa_site.models import PolicyReport
from tests.admin.books import Book
from tests.admin.staff_rows import acts_on, pages_of_staff, staff_rows
from waitlist.models import Entry, InviteBatch, Mail


def read_only_models() -> list[type[Model]]:
    """Models whose pages only show."""
    return [model for model, page in admin.site._registry.items() if isinstance(page, ReadOnlyAdmin)]


def address(model: type[Model], page: str, *arguments: object) -> str:
    """The address of one of a model's pages."""
    return reverse(
        f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}",
        args=[quote(argument) for argument in arguments],
    )


def rows_of(book: Book) -> dict[type[Model], object]:
    """One row's key for each read-only model."""
    journals = Journal.objects.filter(correlation_id=book.payment.correlation_id).order_by("id")
    keys: dict[type[Model], object] = {
        LedgerAccount: LedgerAccount.objects.filter(owner=book.account.id).latest("id").pk,
        BillingEntry: book.payment.entry_id,
        CreditNote: CreditNote.objects.get(source=book.payment.id).pk,
        DeadLetter: book.dead_letter_id,
        Journal: journals[1].pk,
        Stream: 0,
        ModelPrice: ModelPrice.objects.latest("id").pk,
        AuditEvent: AuditEvent.objects.create(actor="ada", action="test.looked", subject=book.payment.id).pk,
        type(book.account): book.account.pk,
        type(book.account.wallets.get()): book.account.wallets.get().pk,
    }
    keys |= {type(row): row.pk for row in waitlist_rows()}
    for row in (book.payment, book.transaction, book.quote, book.session, book.relayer, *staff_rows()):
        keys[type(row)] = row.pk
    return keys


def waitlist_rows() -> Iterator[Model]:
    """Somebody who waits with a mail, a batch, and a report of the policy."""
    now, name = timezone.now(), secrets.token_hex(6)
    entry = Entry.objects.create(
        email=f"{name}@example.com", email_key=f"{name}@example.com", consent_version="1", consented_at=now
    )
    yield entry
    yield Mail.objects.create(entry=entry, kind=Mail.Kind.CONFIRM, due_at=now)
    yield InviteBatch.objects.create(pk=f"inv_{name}", wanted=3, created_by="ada", reason="opening", finished_at=now)
    yield PolicyReport.objects.create(
        violated_directive="img-src",
        blocked_uri="https://evil.example/<img src=x>",
        document_uri=f"https://x.example/{name}",
        report_count=2,
        first_seen_at=now,
        last_seen_at=now,
    )


def pages_of(book: Book) -> Iterator[str]:
    """Every page a member of staff can open by a GET."""
    yield reverse("admin:index")
    yield reverse("admin:password_change")
    yield from pages_of_staff()
    for model, page in admin.site._registry.items():
        yield address(model, "changelist")
        if not isinstance(page, ReadOnlyAdmin) and model is not FeatureFlag:  # flags are made by migrations
            yield address(model, "add")
    for app_label in sorted({model._meta.app_label for model in admin.site._registry}):
        yield reverse("admin:app_list", args=[app_label])
    for model, key in rows_of(book).items():
        yield address(model, "change", key)
        yield from (address(model, "act", key, act) for act in acts_on(model))
    yield reverse("admin:waitlist_invitebatch_invite")
    yield reverse("admin:billing_account_statement", args=[rows_of(book)[LedgerAccount]])
    demo = SoldModel.objects.get(name="loa-demo")
    yield address(SoldModel, "change", demo.pk)
    yield reverse("admin:inference_model_price", args=[demo.pk])
    yield reverse("admin:inference_modelprice_revoke", args=[rows_of(book)[ModelPrice]])
