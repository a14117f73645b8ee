"""Payers whose settlements keep reverting cost us gas each time: they wait, or prepay, before the next (attack 4).

Only payments that never paid count. One that a stranger carried first reverts as well, and its payer is innocent.
"""

from datetime import timedelta
from typing import Final

from django.utils import timezone

from x402.models import SettlementAttempt, TransactionState
from x402.services.rates import RateLimited

REVERTS_MAX: Final = 3
WINDOW: Final = timedelta(hours=1)


def require_few(payer: str) -> None:
    """Refuse a new payment of a wallet that made us pay for too many reverted settlements in the last hour.

    Credit notes and keys are not settled, and stay open to it. Raises RateLimited.
    """
    since = timezone.now() - WINDOW
    oldest_first = SettlementAttempt.objects.filter(
        payment__payer=payer,
        payment__created_at__gt=since,
        payment__block_number__isnull=True,
        transaction__state=TransactionState.MINED,
        created_at__gt=since,
    ).order_by("created_at")
    times = list(oldest_first.values_list("created_at", flat=True)[:REVERTS_MAX])
    if len(times) == REVERTS_MAX:
        raise RateLimited(max(1, int((times[0] + WINDOW - timezone.now()).total_seconds())))
