"""What the first staff page says about payments: the last 24 hours by the hour, and what is not settled yet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncHour

from x402.models import Payment, PaymentState

UNSETTLED = (PaymentState.VERIFIED, PaymentState.SETTLING, PaymentState.SETTLEMENT_UNKNOWN)
UNSERVED = (*UNSETTLED, PaymentState.SETTLED, PaymentState.SERVING)
DECIDED = (PaymentState.SERVED, PaymentState.CREDITED, PaymentState.REFUNDED)
HOURS = 24


@dataclass(frozen=True, slots=True)
class HourOfState:
    """Payments that arrived in one hour and are now in one state. Units: MicroUSDC."""

    hour: datetime
    state: str
    payment_count: int
    amount_micro_usdc: int
    credit_applied_micro_usdc: int
    charged_micro_usdc: int

    @property
    def returned_micro_usdc(self) -> int:
        """What became credit notes: all that was held and not charged, once it is decided."""
        if self.state not in DECIDED:
            return 0
        return self.amount_micro_usdc + self.credit_applied_micro_usdc - self.charged_micro_usdc


@dataclass(frozen=True, slots=True)
class PaymentFigures:
    """Figures of payments, by the hour of their arrival in UTC."""

    now: datetime
    rows: Sequence[HourOfState]
    unsettled_count: int
    unsettled_micro_usdc: int

    @property
    def hours(self) -> Sequence[datetime]:
        """The last 24 hours, the running one last."""
        running = self.now.replace(minute=0, second=0, microsecond=0)
        return [running - timedelta(hours=HOURS - 1 - position) for position in range(HOURS)]

    def today(self) -> Iterator[HourOfState]:
        """Rows since midnight UTC."""
        return (row for row in self.rows if row.hour.date() == self.now.date())

    def by_hour(self, figure: str, *, states: Sequence[str] | None = None) -> list[int]:
        """The sum of one figure in each hour, of the given states or of all."""
        sums = dict.fromkeys(self.hours, 0)
        for row in self.rows:
            if row.hour in sums and (states is None or row.state in states):
                sums[row.hour] += getattr(row, figure)
        return list(sums.values())


def payment_figures(now: datetime) -> PaymentFigures:
    """Read the figures: one pass over the index of the last 24 hours, one over the partial index of open payments."""
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    grouped = (
        Payment.objects.filter(created_at__gte=start)
        .annotate(hour=TruncHour("created_at"))
        .values("hour", "state")
        .annotate(
            payment_count=Count("pk"),
            amount=Sum("amount_micro_usdc"),
            credit=Sum("credit_applied_micro_usdc"),
            charged=Sum("charged_micro_usdc"),
        )
    )
    rows = [
        HourOfState(row["hour"], row["state"], row["payment_count"], row["amount"], row["credit"], row["charged"] or 0)
        for row in grouped
    ]
    unsettled = _open_payments().filter(state__in=UNSETTLED).aggregate(number=Count("pk"), sum=Sum("amount_micro_usdc"))
    return PaymentFigures(now, rows, unsettled["number"], unsettled["sum"] or 0)


def _open_payments() -> QuerySet[Payment]:
    """Named as the partial index names them, so that the planner can use it."""
    return Payment.objects.filter(state__in=UNSERVED)
