"""Payments as their payer looks for them: by id, and newest first in pages."""

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Q

from x402.models import Payment
from x402.models.payment import Method

PAGE_SIZE: Final = 20
PAGE_SIZE_MAX: Final = 100
_ID: Final = re.compile(r"pay_[A-Za-z0-9_-]{1,36}", re.ASCII)


class InvalidCursor(ValueError):
    """Raised when a cursor is not one that a page gave out."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some payments, newest first, and where the next page begins; `next_cursor` is empty on the last one."""

    payments: list[Payment]
    next_cursor: str


def payment_of(payment_id: str) -> Payment | None:
    """The payment with this id, or None. Any text may be asked for."""
    return Payment.objects.filter(pk=payment_id).first() if _ID.fullmatch(payment_id) else None


def page_of_wallet(wallet: str, *, cursor: str = "", size: int = PAGE_SIZE, account_id: str = "") -> Page:
    """The wallet's payments after `cursor`, newest first, and those by the keys of its account. Raises InvalidCursor.

    A key's family (`key:…`) may stand for the wallet. Two look-ups by index are merged: one condition over both would
    sort all that either of them ever paid.
    """
    after = _read(cursor) if cursor else None
    found = _newest(Q(payer=wallet), after=after, size=size)
    if account_id:
        found += _newest(Q(account_id=account_id, method=Method.API_KEY), after=after, size=size)
        found.sort(key=lambda payment: (payment.created_at, payment.pk), reverse=True)
    shown = found[:size]
    return Page(payments=shown, next_cursor=_write(shown[-1]) if len(found) > size else "")


def _newest(whose: Q, *, after: tuple[datetime, str] | None, size: int) -> list[Payment]:
    """One more than a page of these payments, so that it shows whether there are others."""
    rows = Payment.objects.filter(whose).order_by("-created_at", "-pk")
    if after is not None:
        created_at, last_id = after
        rows = rows.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, pk__lt=last_id))
    return list(rows[: size + 1])


def _write(payment: Payment) -> str:
    plain = f"{payment.created_at.isoformat()} {payment.pk}"
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[datetime, str]:
    try:
        plain = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        moment, _, last_id = plain.partition(" ")
        created_at = datetime.fromisoformat(moment)
    except ValueError:
        raise InvalidCursor(cursor) from None
    if created_at.tzinfo is None or not _ID.fullmatch(last_id):
        raise InvalidCursor(cursor)
    return created_at, last_id
