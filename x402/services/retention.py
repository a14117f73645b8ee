"""What is forgotten of payments, and when: bodies of answers (R23) and quotes that somebody asked us to keep.

A payment, its receipt and the facts of its charge stay for good; so does what the ledger booked. Each step is bounded,
oldest first, and finds its rows by an index, whatever the tables have grown to.
"""

from typing import Final

from django.db import connection

ANSWER_HOURS: Final = 24  # and no less than its authorization could still be sent again
QUOTE_DAYS: Final = 30  # after it expired: support still finds what a payer asks about
FORGOTTEN_AT_ONCE: Final = 1_000

_BODIES: Final = """
UPDATE x402_storedanswer SET body_encrypted = NULL WHERE id = ANY (ARRAY(
    SELECT a.id FROM x402_storedanswer a JOIN x402_payment p ON p.id = a.payment_id
    WHERE a.body_encrypted IS NOT NULL AND a.created_at < clock_timestamp() - make_interval(hours => %s)
      AND p.state IN ('served', 'credited', 'refunded', 'dead')
      AND p.valid_before < extract(epoch FROM clock_timestamp())
    ORDER BY a.created_at LIMIT %s FOR UPDATE OF a SKIP LOCKED))
"""
_QUOTES: Final = """
DELETE FROM x402_keptquote WHERE id = ANY (ARRAY(
    SELECT id FROM x402_keptquote WHERE expires_at < clock_timestamp() - make_interval(days => %s)
    ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED))
"""


def forget_answers(*, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """Delete the bodies of answers that are past their time; how many. Who asks again gets 410 with the receipt."""
    return _run(_BODIES, ANSWER_HOURS, limit)


def forget_quotes(*, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """Delete kept quotes that expired long ago; how many."""
    return _run(_QUOTES, QUOTE_DAYS, limit)


def _run(statement: str, *parameters: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        return int(cursor.rowcount)
