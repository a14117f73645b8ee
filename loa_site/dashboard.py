"""The dashboard: a day of the business in charts drawn on the server, each with its figures as a table.

Revenue, charges and change, payers and their share, what calls cost by endpoint and by model, how long settlement
takes, what fails, what is exposed and what waits. Read when it is opened, for those who may see payments.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from billing.admin.charts import Chart, Series
from billing.admin.formats import MICRO_DIGITS, amount_of, human
from billing.admin.read_only import list_url
from billing.admin.sections import Column, Section
from billing.selectors.reports import pending_risk
from loa_site.first_page import Figure, charts_of
from loa_site.operations import backlogs
from x402.admin.figures import payment_figures
from x402.admin.trends import Trends, trends

MODELS_SHOWN: Final = 12
AGES: Final = ((60, "under a minute"), (3_600, "under an hour"), (86_400, "under a day"))
OLDEST: Final = "a day or more"

_MODELS: Final = """
SELECT model, count(*), sum(input_tokens)::bigint, sum(output_tokens)::bigint, avg(p.charged_micro_usdc)::bigint,
  sum(p.charged_micro_usdc)::bigint
FROM x402_payment p JOIN inference_callusage u ON u.payment_id = p.id
WHERE p.created_at >= %s AND p.charged_micro_usdc IS NOT NULL GROUP BY model ORDER BY 6 DESC LIMIT %s
"""
_LETTER_AGES: Final = """
SELECT width_bucket(extract(epoch FROM clock_timestamp() - created_at)::bigint, ARRAY[60, 3600, 86400]), count(*)
FROM billing.dead_letter WHERE state IN ('pending', 'poisoned') GROUP BY 1
"""


def dashboard_view(request: HttpRequest) -> HttpResponse:
    """The page, for those who may see payments and journals."""
    if not request.user.has_perms(("billing.view_journal", "x402.view_payment")):
        raise PermissionDenied
    now = timezone.now()
    payments, day = payment_figures(now), trends(now)
    context = {
        **admin.site.each_context(request),
        "title": "Dashboard",
        "read_at": now,
        "figures": figures_of(day, unsettled=payments.unsettled_micro_usdc, now=now),
        "charts": [*charts_of(payments), latency_chart(day), failures_chart(day), ages_chart()],
        "sections": [prices_section(day), models_section(day), failures_section(day)],
    }
    return TemplateResponse(request, "admin/dashboard.html", context)


def figures_of(day: Trends, *, unsettled: int, now: datetime) -> list[Figure]:
    """The numbers above the charts. Units: MicroUSDC."""
    oldest = max((one.age_seconds(now) for one in backlogs()), default=0)
    return [
        Figure("Revenue, 24 hours", amount_of(day.new.charged + day.returning.charged)),
        Figure("New payers", f"{day.new.count:,} ({day.new.payments:,} payments)"),
        Figure("Returning payers", f"{day.returning.count:,} ({day.returning.payments:,} payments)"),
        Figure("Revenue from returning payers", f"{day.returning_share_percent} %"),
        Figure("Unsettled exposure", amount_of(unsettled), list_url("x402.payment", progress="unsettled")),
        Figure("Served and not booked yet", amount_of(pending_risk()), list_url("billing.deadletter", state="pending")),
        Figure("Oldest item in a queue", f"{oldest:,} s", is_alarm=oldest > 3_600),
    ]


def latency_chart(day: Trends) -> Chart:
    """How long payments waited for their settlement; the bars stack to the 95th percentile."""
    above = [p95 - p50 for p50, p95 in zip(day.latency_p50_ms, day.latency_p95_ms, strict=True)]
    return Chart(
        "Settlement latency, by the hour",
        [f"{hour:%H:%M}" for hour in day.hours],
        [Series("median", day.latency_p50_ms), Series("from there to the 95th percentile", above)],
        write="{:,} ms".format,
    )


def failures_chart(day: Trends) -> Chart:
    return Chart(
        "Failures, by the hour of the payment",
        [f"{hour:%H:%M}" for hour in day.hours],
        [Series("failures", day.failures_by_hour)],
    )


def ages_chart() -> Chart:
    """Open dead letters by how long they have been open."""
    with connection.cursor() as cursor:
        cursor.execute(_LETTER_AGES)
        counts = dict(cursor.fetchall())
    labels = [*(words for _, words in AGES), OLDEST]
    letters = Series("letters", [counts.get(number, 0) for number in range(len(labels))])
    return Chart("Open dead letters, by age", labels, [letters], labels_are="Open for")


def prices_section(day: Trends) -> Section:
    return Section(
        "What calls cost, by endpoint",
        (
            Column("Endpoint"),
            *(Column(title, is_figure=True) for title in ("Calls", "Lowest", "Mean", "Highest", "Revenue")),
        ),
        [
            (
                one.endpoint,
                f"{one.calls:,}",
                *(f"{human(sum_, digits=MICRO_DIGITS)}" for sum_ in (one.lowest, one.mean, one.highest)),
                amount_of(one.revenue),
            )
            for one in day.prices
        ],
        when_empty="Nothing was charged in the last 24 hours.",
    )


def models_section(day: Trends) -> Section:
    with connection.cursor() as cursor:
        cursor.execute(_MODELS, [day.hours[0], MODELS_SHOWN])
        found: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return Section(
        "What calls cost, by model",
        (
            Column("Model"),
            *(Column(title, is_figure=True) for title in ("Calls", "Tokens in", "Tokens out", "Mean", "Revenue")),
        ),
        [
            (name, f"{calls:,}", f"{into:,}", f"{out:,}", human(mean, digits=MICRO_DIGITS), amount_of(revenue))
            for name, calls, into, out, mean, revenue in found
        ],
        when_empty="No model was called in the last 24 hours.",
    )


def failures_section(day: Trends) -> Section:
    return Section(
        "Failures, by reason",
        (Column("Reason"), Column("Payments", is_figure=True)),
        [(code, f"{sum(by_hour):,}") for code, by_hour in day.failures.items()],
        when_empty="Nothing failed in the last 24 hours.",
    )
