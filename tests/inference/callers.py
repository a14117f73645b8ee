"""An account that pays by API key, and what it has left."""

from dataclasses import dataclass

from billing.domain import accounts
from billing.selectors.balances import balance_of
from x402.models import Payment
from x402.services.waiting import watch


@dataclass(frozen=True)
class Caller:
    """Units: MicroUSD."""

    account_id: str
    key_id: str
    secret: str

    @property
    def balance(self) -> int:
        return balance_of(accounts.available(self.account_id), accounts.PREPAID)

    @property
    def held(self) -> int:
        return balance_of(accounts.held(self.account_id), accounts.PREPAID)

    @property
    def payments(self) -> list[Payment]:
        """Its payments, in the order in which they were made."""
        return list(Payment.objects.filter(account_id=self.account_id).order_by("created_at"))


def somebody_waits_for(payment_id: str) -> bool:
    """Whether a request of this process waits for what comes of a payment that another one has begun."""
    return any(ticket.is_patient for ticket in watch._tickets.get(payment_id, ()))
