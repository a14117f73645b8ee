"""What the first staff page says about the ledger: the trial balance, what we owe in notes, and dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, Sum

from billing.admin.formats import amount_of, identifier_of, sum_of
from billing.admin.read_only import list_url
from billing.admin.sections import Column, Section
from billing.models import AccountShape, Balance, DeadLetter

OPEN_LETTER_STATES = ("pending", "poisoned")


@dataclass(frozen=True, slots=True)
class ShapeTotal:
    """All accounts of one line of the chart in one denomination. Units: atomic units of the denomination."""

    denomination: str
    shape: str
    kind: str
    posted: int


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """The ledger in a few numbers."""

    totals: Sequence[ShapeTotal]
    dead_letter_counts: Mapping[str, int]

    @property
    def sums(self) -> Mapping[str, int]:
        """What each denomination sums to; zero when the books balance."""
        sums: dict[str, int] = {}
        for total in self.totals:
            sums[total.denomination] = sums.get(total.denomination, 0) + total.posted
        return sums

    @property
    def is_balanced(self) -> bool:
        return not any(self.sums.values())

    def credit_outstanding(self) -> Sequence[tuple[str, int]]:
        """What wallets have with us in credit notes, by denomination."""
        return [(total.denomination, total.posted) for total in self.totals if total.shape == "credit_notes"]

    def trial_balance(self) -> Sequence[Section]:
        """One table per denomination: what each line of the chart holds, and the sum under a double rule."""
        return [self._section(denomination) for denomination in self.sums]

    def _section(self, denomination: str) -> Section:
        rows = [total for total in self.totals if total.denomination == denomination]
        debits = sum(total.posted for total in rows if total.posted < 0)
        credits = sum(total.posted for total in rows if total.posted > 0)
        return Section(
            f"Trial balance, {denomination}",
            (Column("Accounts"), Column("Kind"), Column("Debit", is_figure=True), Column("Credit", is_figure=True)),
            [
                (
                    identifier_of(total.shape, url=list_url("billing.account", shape=total.shape)),
                    total.kind,
                    amount_of(total.posted, denomination=denomination) if total.posted < 0 else "",
                    amount_of(total.posted, denomination=denomination) if total.posted > 0 else "",
                )
                for total in rows
            ],
            foot=[
                ("Sum", "", sum_of(debits, denomination=denomination), sum_of(credits, denomination=denomination)),
            ],
        )


def ledger_figures() -> LedgerFigures:
    """Read them: the balance rows once, and the partial index of open dead letters."""
    totals = (
        Balance.objects.values("account__denomination", "account__shape_id")
        .annotate(total=Sum("posted"))
        .order_by("account__denomination", "account__shape_id")
    )
    shapes = {shape.number: shape for shape in AccountShape.objects.all()}
    letters = (
        DeadLetter.objects.filter(state__in=OPEN_LETTER_STATES).values("state").annotate(number=Count("pk")).order_by()
    )
    return LedgerFigures(
        [
            ShapeTotal(
                row["account__denomination"],
                shapes[row["account__shape_id"]].name,
                shapes[row["account__shape_id"]].kind,
                int(row["total"]),
            )
            for row in totals
        ],
        {row["state"]: row["number"] for row in letters},
    )
