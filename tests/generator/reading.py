"""Everything that is read from a big ledger: each selector once, each staff page with its filters and searches."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import connection
from django.db.models import Model
from django.urls import reverse
from django.utils.http import urlencode

from accounts.models import Account as Customer
from accounts.models import Wallet
from billing.admin.read_only import ReadOnlyAdmin
from billing.models import Account, BillingEntry, CreditNote, Journal
from billing.selectors import balances, credit_notes, journals, reports, statements
from waitlist.models import Entry, Mail
from x402.models import ChainTransaction, Payment
from x402.selectors import payments, wallet_payments

SELECTORS: tuple[ModuleType, ...] = (
    balances,
    credit_notes,
    journals,
    reports,
    statements,
    payments,
    wallet_payments,
)
# Those that add up what there is: one row per account, or all of one account's postings. No page waits for them.
WHOLE_TABLE_REPORTS = frozenset({"trial_balance", "conservation"})
USDC = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"


@dataclass(frozen=True)
class Samples:
    """Rows from the middle of the books, and the accounts with most postings."""

    payment: Payment
    journal_id: str
    note_id: str
    user_account: str
    moment: datetime


def samples() -> Samples:
    """Found by keys, in the middle of the books."""
    moment = one("SELECT recorded_at FROM billing.journal WHERE stream = 1 AND sequence = 10000")
    started = Payment.objects.filter(created_at__gte=moment, state="served").order_by("created_at")[:20]
    payment = next(row for row in started if row.held_micro_usdc > (row.charged_micro_usdc or 0))
    return Samples(
        payment=payment,
        journal_id=one("SELECT id FROM billing.journal WHERE stream = 1 AND sequence = 10000"),
        note_id=credit_notes.notes_from(payment.id)[0].id,
        user_account=one("SELECT name FROM billing.account WHERE id = 10"),
        moment=moment,
    )


def selector_calls(given: Samples) -> dict[str, Callable[[], Any]]:
    """One call, or two, of every public selector, by its name."""
    payment = given.payment
    deep = statements.statement_of("system:revenue", USDC, limit=50).next_cursor
    page = wallet_payments.page_of_wallet(payment.payer)
    return {
        "balance_of": lambda: [balances.balance_of(*account) for account in accounts(given)],
        "balance_at": lambda: [balances.balance_at(*one, recorded_at=given.moment) for one in accounts(given)],
        "balance_by_effective_time": lambda: balances.balance_by_effective_time(
            f"user:{payment.account_id}:held", USDC, effective_until=given.moment
        ),
        "spendable_credit_of": lambda: credit_notes.spendable_credit_of(payment.payer, USDC),
        "notes_of": lambda: [credit_notes.notes_of(payment.payer, only_open=one) for one in (True, False)],
        "notes_from": lambda: credit_notes.notes_from(payment.id),
        "note_of": lambda: credit_notes.note_of(given.note_id),
        "movements_of": lambda: credit_notes.movements_of(payment.payer, before=2**62, limit=50),
        "journal_of": lambda: journals.journal_of(given.journal_id),
        "journals_of": lambda: [
            journals.journals_of(correlation_id=payment.correlation_id),
            journals.journals_of(payment_id=payment.id),
            journals.journals_of(entry_id=payment.entry_id),
        ],
        "income_statement": lambda: reports.income_statement(
            effective_from=given.moment, effective_until=given.moment + timedelta(hours=1)
        ),
        "trial_balance": reports.trial_balance,
        "conservation": reports.conservation,
        "pending_risk": reports.pending_risk,
        "statement_of": lambda: [
            statements.statement_of(*account, cursor=cursor) for account in accounts(given) for cursor in ("", deep)
        ],
        "payment_by_replay_key": lambda: payments.payment_by_replay_key(
            payment.network,
            verifying_contract=payment.verifying_contract,
            payer=payment.payer,
            nonce=payment.nonce,
        ),
        "payment_named": lambda: payments.payment_named(payment.payer, key_hash="ab" * 32),
        "payments_by_id": lambda: payments.payments_by_id([payment.id, "pay_unknown"]),
        "payment_of": lambda: [payments.payment_of(payment.id), wallet_payments.payment_of(payment.id)],
        "page_of_wallet": lambda: [
            wallet_payments.page_of_wallet(payment.payer, cursor=page.next_cursor),
            wallet_payments.page_of_wallet(payment.payer, size=100),
        ],
    }


def accounts(given: Samples) -> list[tuple[str, str]]:
    """A sharded account that everything touches, the busiest user, and a wallet."""
    return [
        ("system:revenue", USDC),
        (given.user_account, "MicroUSD"),
        (f"system:credit_notes:{given.payment.payer}", USDC),
    ]


def public_selectors() -> set[str]:
    """The names of all functions the selector modules offer."""
    return {
        name
        for module in SELECTORS
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }


def staff_pages(given: Samples) -> Iterator[str]:
    """The address of every list with each filter and search, every row's page, and statements."""
    payment = given.payment
    for model, page in admin.site._registry.items():
        if not isinstance(page, ReadOnlyAdmin) or not big(model):
            continue
        address = address_of(model, "changelist")
        yield address
        for key in model._default_manager.order_by("pk")[1000:1001].values_list("pk", flat=True):
            yield f"{address}?{urlencode({'after': key})}"
            yield f"{address}?{urlencode({'before': key})}"
        for declared in page.list_filter:
            for value, _ in declared.lookups(None, None, page):
                yield f"{address}?{urlencode({declared.parameter_name: value})}"
        terms = (payment.id, payment.payer, payment.account_id, payment.correlation_id, payment.entry_id)
        for term in (*terms, "nobody", "person7@example.com", "wle_01"):
            yield f"{address}?{urlencode({'q': term})}"
    for model, key in rows(given).items():
        yield address_of(model, "change", key)
    for number in (1, 2, 10, rows(given)[Account]):
        yield reverse("admin:billing_account_statement", args=[number])
    yield f"{reverse('admin:billing_account_statement', args=[2])}?{urlencode({'cursor': cursor_in_the_middle()})}"


def rows(given: Samples) -> dict[type[Model], Any]:
    """One row of each model whose page shows more than itself."""
    return {
        Account: Account.objects.get(name=f"system:credit_notes:{given.payment.payer}").pk,
        BillingEntry: given.payment.entry_id,
        CreditNote: given.note_id,
        Journal: given.journal_id,
        Payment: given.payment.pk,
        ChainTransaction: ChainTransaction.objects.get(transaction_hash=given.payment.transaction_hash).pk,
        Entry: Entry.objects.filter(state="waiting").order_by("rank_at")[1000:1001].get().pk,
        Mail: Mail.objects.order_by("-pk")[100:101].get().pk,
    }


def cursor_in_the_middle() -> str:
    """A statement's cursor a thousand lines deep in every stream."""
    cursor = ""
    for _ in range(10):
        cursor = statements.statement_of("system:revenue", USDC, cursor=cursor, limit=100).next_cursor
    return cursor


def big(model: type[Model]) -> bool:
    """Whether the generator fills the model's table."""
    ledger = (Account, BillingEntry, ChainTransaction, CreditNote, Customer, Journal, Payment, Wallet)
    return model in (*ledger, Entry, Mail)


def address_of(model: type[Model], page: str, *keys: Any) -> str:
    """The address of one of a model's staff pages."""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
    return reverse(name, args=[quote(key) for key in keys])


def one(query: str) -> Any:
    """The one value of a query."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        [[value]] = cursor.fetchall()
    return value
