"""Reading refunds as a payment's receipt shows them."""

from typing import Final

from django.db import connection

_OF_PAYMENT: Final = """
SELECT r.id, r.state, -sum(m.amount)::bigint, r.transaction_hash
FROM billing.credit_note n
JOIN billing.credit_note_movement m ON m.note_id = n.id AND m.reason = 'refunded'
JOIN billing.journal j ON j.id = m.journal_id COLLATE "C"
JOIN x402_refund r ON r.id = j.metadata ->> 'refund_id'
WHERE n.source = %s GROUP BY r.id, r.state, r.transaction_hash ORDER BY r.id
"""


def refunds_of(payment_id: str) -> list[dict[str, str]]:
    """What was paid out, or is being, of the notes this payment gave rise to. Units: MicroUSDC, in decimal strings."""
    with connection.cursor() as cursor:
        cursor.execute(_OF_PAYMENT, [payment_id])
        rows = cursor.fetchall()
    return [
        {"refund_id": refund_id, "state": state, "amount_micro_usdc": str(amount), "transaction": transaction}
        for refund_id, state, amount, transaction in rows
    ]
