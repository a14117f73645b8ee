"""Payers whose settlements keep reverting cost us gas each time: they wait, or prepay, before the next (attack 4).

Only payments that never paid count. One that a stranger carried first reverts as well, and its payer is innocent. What
has paid is not read: a payer with a thousand payments an hour costs as little as one with none.
"""

from typing import Final

from django.db import connection

from x402.services.rates import RateLimited

REVERTS_MAX: Final = 3
WINDOW_SECONDS: Final = 3_600

_REVERTS: Final = """
SELECT ceil(extract(epoch FROM attempt.created_at + make_interval(secs => %(window)s) - clock_timestamp()))::int
FROM (
  SELECT id FROM x402_payment WHERE payer = %(payer)s AND state IN ('settling', 'settlement_unknown')
    AND block_number IS NULL AND created_at > clock_timestamp() - make_interval(secs => %(window)s)
  UNION ALL
  SELECT id FROM x402_payment WHERE payer = %(payer)s AND state = 'dead'
    AND block_number IS NULL AND created_at > clock_timestamp() - make_interval(secs => %(window)s)
) AS unpaid
JOIN x402_settlementattempt AS attempt ON attempt.payment_id = unpaid.id
JOIN x402_chaintransaction AS carried ON carried.id = attempt.transaction_id AND carried.state = 'mined'
WHERE attempt.created_at > clock_timestamp() - make_interval(secs => %(window)s)
ORDER BY attempt.created_at LIMIT %(most)s
"""


def require_few(payer: str) -> None:
    """Refuse a new payment of a wallet that made us pay for too many reverted settlements in the last hour.

    Credit notes and keys are not settled, and stay open to it. Raises RateLimited.
    """
    facts: dict[str, str | int] = {"payer": payer, "window": WINDOW_SECONDS, "most": REVERTS_MAX}
    with connection.cursor() as cursor:
        cursor.execute(_REVERTS, facts)
        waits = [row[0] for row in cursor.fetchall()]
    if len(waits) == REVERTS_MAX:
        raise RateLimited(max(1, waits[0]))
