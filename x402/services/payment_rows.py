"""Writing payment rows on the paid path. Inserting one is the replay guard: its unique key decides every race."""

from functools import lru_cache

from django.db import connection
from django.utils import timezone

from x402.models import Payment


@lru_cache(maxsize=1)
def _insert_statement() -> tuple[tuple[str, ...], str]:
    fields = Payment._meta.concrete_fields
    columns = ", ".join(f'"{field.column}"' for field in fields)
    places = ", ".join(["%s"] * len(fields))
    statement = " ".join(["INSERT INTO x402_payment", f"({columns}) VALUES ({places})", "ON CONFLICT DO NOTHING"])
    return tuple(field.attname for field in fields), statement


def insert(payment: Payment) -> bool:
    """Whether this call made the row; False when a payment of the same replay key is there already."""
    names, statement = _insert_statement()
    payment.created_at = payment.updated_at = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(statement, [getattr(payment, name) for name in names])
        return bool(cursor.rowcount)
