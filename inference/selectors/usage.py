"""What an account's calls consumed: sums by day and model, and the calls themselves."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate

from inference.models import CallUsage

UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class UsageSum:
    """One day's calls of one model. Units: tokens; `charged_micro_usdc` is MicroUSDC."""

    day: date
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    charged_micro_usdc: int


def usage_by_day(account_id: str, *, first: date, last: date) -> list[UsageSum]:
    """The account's usage from `first` to `last` inclusive, by UTC day, newest first. One index range is read."""
    rows = (
        CallUsage.objects.filter(
            account_id=account_id,
            created_at__gte=datetime.combine(first, time.min, UTC),
            created_at__lt=datetime.combine(last + timedelta(days=1), time.min, UTC),
        )
        .annotate(day=TruncDate("created_at", tzinfo=UTC))
        .values("day", "model")
        .annotate(
            calls=Count("id"), read=Sum("input_tokens"), written=Sum("output_tokens"), cost=Sum("charged_micro_usdc")
        )
        .order_by("-day", "model")
    )
    return [UsageSum(row["day"], row["model"], row["calls"], row["read"], row["written"], row["cost"]) for row in rows]


def calls_of(account_id: str, *, before: int, limit: int) -> list[CallUsage]:
    """The account's newest calls with an id below `before`. One index seek."""
    return list(CallUsage.objects.filter(account_id=account_id, pk__lt=before).order_by("-id")[:limit])
