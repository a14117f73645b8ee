"""Every address of the staff pages for one book, taken from the site's own registry so that none is forgotten."""

from collections.abc import Iterator

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse

from accounts.models import AuditEvent
from billing.admin.read_only import ReadOnlyAdmin
from billing.models import Account as LedgerAccount
from billing.models import BillingEntry, CreditNote, DeadLetter, Journal, Stream
from inference.models import Model as SoldModel
from inference.models import ModelPrice
from tests.admin.books import Book


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
    for row in (book.payment, book.transaction, book.quote, book.session, book.relayer):
        keys[type(row)] = row.pk
    return keys


def pages_of(book: Book) -> Iterator[str]:
    """Every page a member of staff can open by a GET."""
    yield reverse("admin:index")
    yield reverse("admin:password_change")
    for model, page in admin.site._registry.items():
        yield address(model, "changelist")
        if not isinstance(page, ReadOnlyAdmin):
            yield address(model, "add")
    for app_label in sorted({model._meta.app_label for model in admin.site._registry}):
        yield reverse("admin:app_list", args=[app_label])
    for model, key in rows_of(book).items():
        yield address(model, "change", key)
    yield reverse("admin:billing_account_statement", args=[rows_of(book)[LedgerAccount]])
    demo = SoldModel.objects.get(name="loa-demo")
    yield address(SoldModel, "change", demo.pk)
    yield reverse("admin:inference_model_price", args=[demo.pk])
    yield reverse("admin:inference_modelprice_revoke", args=[rows_of(book)[ModelPrice]])
