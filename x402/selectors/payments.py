"""Reading payment rows on the paid path, where building a query anew for forty columns costs more than running it.

The statements are written once from the model's own columns, so a new column needs nothing here.
"""

from collections.abc import Sequence
from functools import lru_cache

from django.db import connection

from x402.models import Payment


@lru_cache(maxsize=1)
def _columns() -> tuple[tuple[str, ...], str]:
    fields = Payment._meta.concrete_fields
    return tuple(field.attname for field in fields), ", ".join(f'"{field.column}"' for field in fields)


def _read(condition: str, parameters: Sequence[str | list[str]]) -> list[Payment]:
    names, columns = _columns()
    with connection.cursor() as cursor:
        cursor.execute(" ".join(["SELECT", columns, "FROM x402_payment WHERE", condition]), parameters)
        return [Payment.from_db(connection.alias, names, row) for row in cursor.fetchall()]


def payment_by_replay_key(network: str, *, verifying_contract: str, payer: str, nonce: str) -> Payment | None:
    """The payment of this replay key in its canonical spelling, or None (R18)."""
    found = _read(
        "network = %s AND verifying_contract = %s AND payer = %s AND nonce = %s",
        [network, verifying_contract, payer, nonce],
    )
    return found[0] if found else None


def payment_named(payer: str, *, key_hash: str) -> Payment | None:
    """What this payer bought on the chain under this name of its own, or None; what ended without a purchase is not."""
    found = _read(
        "payer = %s AND idempotency_key_hash = %s AND method IN ('eip3009', 'permit2') AND state <> 'dead'"
        " AND work <> 'failed' ORDER BY created_at LIMIT 1",
        [payer, key_hash],
    )
    return found[0] if found else None


def payments_by_id(payment_ids: Sequence[str]) -> dict[str, Payment]:
    """These payments by their ids; those that do not exist are left out."""
    return {payment.pk: payment for payment in _read("id = ANY(%s::text[])", [list(payment_ids)])}


def payment_of(payment_id: str) -> Payment:
    """The payment of this id as it is now. Raises Payment.DoesNotExist."""
    found = payments_by_id([payment_id])
    if payment_id not in found:
        raise Payment.DoesNotExist(payment_id)
    return found[payment_id]
