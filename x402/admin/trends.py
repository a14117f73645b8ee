"""What the dashboard says about payments of the last 24 hours: payers, prices, latency, failures.

Every query reads the index of the newest payments over one day, and whether a payer is new is one look into the index
of payers for each of them. Figures of money are MicroUSDC, of time milliseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from x402.admin.figures import HOURS

PATHS_SHOWN: Final = 12
CODES_SHOWN: Final = 12
PAYERS_MAX: Final = 20_000  # beyond it the figure is of the newest so many payers

_PAYERS: Final = """
WITH payers AS (
  SELECT payer, count(*) AS payments, sum(charged_micro_usdc) AS charged FROM x402_payment
  WHERE created_at >= %(start)s AND charged_micro_usdc IS NOT NULL GROUP BY payer LIMIT %(limit)s)
SELECT EXISTS (SELECT FROM x402_payment p WHERE p.payer = payers.payer AND p.created_at < %(start)s) AS returning,
  count(*), sum(payments)::bigint, coalesce(sum(charged), 0)::bigint FROM payers GROUP BY 1 ORDER BY 1
"""
_PRICES: Final = """
SELECT request_method || ' ' || request_path, count(*), min(charged_micro_usdc), avg(charged_micro_usdc)::bigint,
  max(charged_micro_usdc), sum(charged_micro_usdc)::bigint
FROM x402_payment WHERE created_at >= %(start)s AND charged_micro_usdc IS NOT NULL
GROUP BY 1 ORDER BY 6 DESC LIMIT %(limit)s
"""
_LATENCY: Final = """
SELECT date_trunc('hour', created_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
  percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY (extract(epoch FROM settled_at - created_at) * 1000)::bigint)
FROM x402_payment WHERE created_at >= %(start)s AND settled_at IS NOT NULL GROUP BY 1
"""
_FAILURES: Final = """
SELECT date_trunc('hour', created_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', failure_code, count(*)
FROM x402_payment WHERE created_at >= %(start)s AND failure_code <> '' GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Payers:
    """Those who were new in this time, or those who had paid before. Units: MicroUSDC."""

    count: int = 0
    payments: int = 0
    charged: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What calls of one endpoint cost. Units: MicroUSDC."""

    endpoint: str
    calls: int
    lowest: int
    mean: int
    highest: int
    revenue: int


@dataclass(frozen=True, slots=True)
class Trends:
    """The last 24 hours, by the hour in UTC where a figure is a list."""

    hours: Sequence[datetime]
    new: Payers
    returning: Payers
    prices: Sequence[Price]
    latency_p50_ms: Sequence[int]
    latency_p95_ms: Sequence[int]
    failures: Mapping[str, Sequence[int]]

    @property
    def failures_by_hour(self) -> list[int]:
        """All failures of each hour."""
        return [sum(hour) for hour in zip(*self.failures.values(), strict=True)] or [0] * len(self.hours)

    @property
    def returning_share_percent(self) -> int:
        """How much of the revenue came from payers who had paid before."""
        whole = self.new.charged + self.returning.charged
        return 100 * self.returning.charged // whole if whole else 0


def trends(now: datetime) -> Trends:
    """Read them: four passes over the payments of one day."""
    running = now.replace(minute=0, second=0, microsecond=0)
    hours = [running - timedelta(hours=HOURS - 1 - position) for position in range(HOURS)]
    start = {"start": hours[0]}
    payers = {is_returning: Payers(*figures) for is_returning, *figures in _rows(_PAYERS, start, limit=PAYERS_MAX)}
    latency: dict[datetime, list[int]] = {hour: list(pair) for hour, *[pair] in _rows(_LATENCY, start)}
    failures: dict[str, dict[datetime, int]] = {}
    for hour, code, count in _rows(_FAILURES, start):
        failures.setdefault(code, {})[hour] = count
    return Trends(
        hours=hours,
        new=payers.get(False, Payers()),
        returning=payers.get(True, Payers()),
        prices=[Price(*row) for row in _rows(_PRICES, start, limit=PATHS_SHOWN)],
        latency_p50_ms=[int(latency[hour][0]) if hour in latency else 0 for hour in hours],
        latency_p95_ms=[int(latency[hour][1]) if hour in latency else 0 for hour in hours],
        failures={code: [by_hour.get(hour, 0) for hour in hours] for code, by_hour in sorted(failures.items())},
    )


def _rows(query: str, start: Mapping[str, datetime], *, limit: int = 0) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, {**start, "limit": limit})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
