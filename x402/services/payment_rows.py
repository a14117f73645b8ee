"""Writing payment rows on the paid path. Inserting one is the replay guard: its unique key decides every race."""

from functools import lru_cache

from django.db import DatabaseError, connection
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from x402.facilitators.remote_rows import NOTHING_SENT
from x402.models import Payment, PaymentState
from x402.models.payment import SettleOrder
from x402.protocol.errors import PaymentRefused

TOO_MUCH_OUTSTANDING = "LX012"  # raised by x402_reserve()


@lru_cache(maxsize=1)
def _insert_statement() -> tuple[tuple[str, ...], str]:
    fields = Payment._meta.concrete_fields
    columns = ", ".join(f'"{field.column}"' for field in fields)
    places = ", ".join(["%s"] * len(fields))
    statement = " ".join(["INSERT INTO x402_payment", f"({columns}) VALUES ({places})", "ON CONFLICT DO NOTHING"])
    return tuple(field.attname for field in fields), statement


def insert(payment: Payment) -> bool:
    """Whether this call made the row; False when a payment of the same replay key is there already.

    Raises PaymentRefused(insufficient_funds) for one that settles after its work while its payer's other payments
    leave too little to spend: the database decides that under the payer's lock (R12).
    """
    names, statement = _insert_statement()
    payment.created_at = payment.updated_at = timezone.now()
    with connection.cursor() as cursor:
        try:
            cursor.execute(statement, [getattr(payment, name) for name in names])
        except DatabaseError as error:
            if getattr(error.__cause__, "sqlstate", "") != TOO_MUCH_OUTSTANDING:
                raise
            raise PaymentRefused(
                "insufficient_funds", "The payer's balance does not cover this beside its other payments."
            ) from None
        return bool(cursor.rowcount)


def withdraw(payment: Payment) -> bool:
    """Let a payment that has not left rest until its payer sends it again; whether it was still here.

    One guarded statement: what a facilitator or the relayer has taken meanwhile is not touched.
    """
    is_here = Q(state=PaymentState.VERIFIED) | Q(state=PaymentState.SETTLEMENT_UNKNOWN, failure_code=NOTHING_SENT)
    resting = Payment.objects.filter(is_here, pk=payment.pk, settle_order=SettleOrder.BEFORE)
    return bool(resting.update(lease_until=Now(), updated_at=Now()))
