"""What the first staff page says: the trial balance, today's figures and two charts.

Its figures are read when it is opened, from balance rows and from the indexes of today's payments and of what is open;
they are shown with the moment they were read.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.admin.charts import Chart, Series
from billing.admin.figures import LedgerFigures, ledger_figures
from billing.admin.formats import MICRO_DIGITS, amount_of, human
from billing.admin.read_only import list_url
from x402.admin.figures import UNSERVED, PaymentFigures, payment_figures
from x402.models import PaymentState

PAYMENTS_WITHOUT_MONEY = frozenset(
    {PaymentState.VERIFIED, PaymentState.SETTLING, PaymentState.SETTLEMENT_UNKNOWN, PaymentState.DEAD}
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the first page, and where the rows behind it are."""

    name: str
    value: str
    url: str = ""
    is_alarm: bool = False


def first_page(now: datetime) -> dict[str, Any]:
    """What the first page shows beside the list of pages."""
    ledger, payments = ledger_figures(), payment_figures(now)
    return {
        "read_at": now,
        "trial_balance": ledger.trial_balance(),
        "is_balanced": ledger.is_balanced,
        "figures": figures_of(ledger, payments),
        "charts": charts_of(payments),
    }


def figures_of(ledger: LedgerFigures, payments: PaymentFigures) -> list[Figure]:
    """Today's figures, since midnight UTC, and what is open now."""
    today = list(payments.today())
    payments_url, letters_url = list_url("x402.payment"), list_url("billing.deadletter", state="pending")
    settled = [row for row in today if row.state not in PAYMENTS_WITHOUT_MONEY]
    poisoned = ledger.dead_letter_counts.get("poisoned", 0)
    return [
        Figure("Payments today", f"{sum(row.payment_count for row in today):,}", payments_url),
        Figure("Settled today", amount_of(sum(row.amount_micro_usdc for row in settled))),
        Figure("Charged today", amount_of(sum(row.charged_micro_usdc for row in today))),
        Figure("Change and credit issued today", amount_of(sum(row.returned_micro_usdc for row in today))),
        *(
            Figure(
                "Credit notes outstanding",
                amount_of(amount, denomination=denomination),
                list_url("billing.creditnote", open="yes"),
            )
            for denomination, amount in ledger.credit_outstanding()
        ),
        Figure(
            f"Unsettled now, {payments.unsettled_count:,} payments",
            amount_of(payments.unsettled_micro_usdc),
            list_url("x402.payment", progress="unsettled"),
        ),
        Figure("Dead letters waiting", f"{ledger.dead_letter_counts.get('pending', 0):,}", letters_url),
        Figure(
            "Dead letters poisoned", f"{poisoned:,}", list_url("billing.deadletter", state="poisoned"), poisoned > 0
        ),
    ]


def charts_of(payments: PaymentFigures) -> list[Chart]:
    """Money and payments of the last 24 hours."""
    labels = [f"{hour:%H:%M}" for hour in payments.hours]
    return [
        Chart(
            "Charged and given back, last 24 hours",
            labels,
            [
                Series("charged", payments.by_hour("charged_micro_usdc")),
                Series("change and credit", payments.by_hour("returned_micro_usdc")),
            ],
            write=lambda figure: f"{human(figure, digits=MICRO_DIGITS)} USDC",
        ),
        Chart(
            "Payments by the hour of their arrival",
            labels,
            [
                Series("served", payments.by_hour("payment_count", states=[PaymentState.SERVED])),
                Series("open", payments.by_hour("payment_count", states=UNSERVED)),
                Series(
                    "credited, refunded or dead",
                    payments.by_hour(
                        "payment_count", states=[PaymentState.CREDITED, PaymentState.REFUNDED, PaymentState.DEAD]
                    ),
                ),
            ],
        ),
    ]
