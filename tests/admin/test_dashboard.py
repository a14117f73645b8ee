"""The dashboard's figures are those of the payments behind it."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loa_site import dashboard
from tests.admin.books import kept_quote, verified_payment, write_book
from x402.admin.trends import trends
from x402.models import Payment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_else() -> None:
    """Payments of other tests are of long ago."""
    Payment.objects.update(created_at=timezone.now() - timedelta(days=3))


def test_payers_prices_and_latency_are_those_of_the_day():
    first, second = write_book(paid=2_000, cost=700), write_book(paid=2_000, cost=900)
    earlier = verified_payment(
        second.account,
        second.account.wallets.get(),
        quote=kept_quote(second.payment.payer),
        amount=2_000,
    )
    Payment.objects.filter(pk=earlier.pk).update(created_at=timezone.now() - timedelta(days=2))
    now = timezone.now()
    for seconds, book in ((2, first), (1, second)):
        settled_at = book.payment.created_at + timedelta(seconds=seconds)
        Payment.objects.filter(pk=book.payment.pk).update(settled_at=settled_at)

    day = trends(now)

    assert (day.new.count, day.new.charged) == (1, 700)
    assert (day.returning.count, day.returning.charged, day.returning_share_percent) == (1, 900, 56)
    [price] = day.prices
    assert (price.endpoint, price.calls) == ("POST /api/v1/x402/invoke", 2)
    assert (price.lowest, price.mean, price.highest, price.revenue) == (700, 800, 900, 1_600)
    assert max(day.latency_p95_ms) == 2_000


def test_failures_are_counted_by_reason_and_hour():
    for code in ("paid_work_failed", "paid_work_failed", "work_interrupted"):
        Payment.objects.filter(pk=write_book().payment.pk).update(failure_code=code)

    day = trends(timezone.now())

    assert {code: sum(hours) for code, hours in day.failures.items()} == {"paid_work_failed": 2, "work_interrupted": 1}
    assert sum(day.failures_by_hour) == 3


def test_the_page_opens_on_an_empty_day_and_on_a_full_one(staff: Client):
    empty = staff.get(reverse("admin:dashboard"))
    write_book(cost=700)
    full = staff.get(reverse("admin:dashboard"))

    assert (empty.status_code, full.status_code) == (200, 200)
    assert "Nothing was charged in the last 24 hours." in empty.content.decode()
    text = full.content.decode()
    for words in ("Revenue, 24 hours", "Returning payers", "Settlement latency", "Unsettled exposure", "by model"):
        assert words in text, words
    assert dashboard.ages_chart().labels[-1] == "a day or more"
