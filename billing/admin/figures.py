"""What the first staff page says about the ledger: the trial balance, what we owe in notes, and dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count

from billing.admin.formats import amount_of, identifier_of, sum_of
from billing.admin.read_only import list_url
from billing.admin.sections import Column, Section
from billing.models import DeadLetter
from billing.selectors.reports import TrialBalanceLine, trial_balance

OPEN_LETTER_STATES = ("pending", "poisoned")


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """The ledger in a few numbers."""

    totals: Sequence[TrialBalanceLine]
    dead_letter_counts: Mapping[str, int]

    @property
    def sums(self) -> Mapping[str, int]:
        """What each denomination sums to; zero when the books balance."""
        sums: dict[str, int] = {}
        for total in self.totals:
            sums[total.denomination] = sums.get(total.denomination, 0) + total.balance
        return sums

    @property
    def is_balanced(self) -> bool:
        return not any(self.sums.values())

    def credit_outstanding(self) -> Sequence[tuple[str, int]]:
        """What wallets have with us in credit notes, by denomination."""
        return [(total.denomination, total.balance) for total in self.totals if total.shape == "credit_notes"]

    def trial_balance(self) -> Sequence[Section]:
        """One table per denomination: what each line of the chart holds, and the sum under a double rule."""
        return [self._section(denomination) for denomination in self.sums]

    def _section(self, denomination: str) -> Section:
        rows = [total for total in self.totals if total.denomination == denomination]
        debits = sum(total.balance for total in rows if total.balance < 0)
        credits = sum(total.balance for total in rows if total.balance > 0)
        return Section(
            f"Trial balance, {denomination}",
            (
                Column("Accounts"),
                Column("Kind, number"),
                Column("Debit", is_figure=True),
                Column("Credit", is_figure=True),
            ),
            [
                (
                    identifier_of(total.shape, url=list_url("billing.account", shape=total.shape)),
                    f"{total.kind}, {total.account_count:,}",
                    amount_of(total.balance, denomination=denomination) if total.balance < 0 else "",
                    amount_of(total.balance, denomination=denomination) if total.balance >= 0 else "",
                )
                for total in rows
            ],
            foot=[
                ("Sum", "", sum_of(debits, denomination=denomination), sum_of(credits, denomination=denomination)),
            ],
        )


def ledger_figures() -> LedgerFigures:
    """Read them: the balance rows once, and the partial index of open dead letters."""
    letters = (
        DeadLetter.objects.filter(state__in=OPEN_LETTER_STATES).values("state").annotate(number=Count("pk")).order_by()
    )
    return LedgerFigures(trial_balance(), {row["state"]: row["number"] for row in letters})
