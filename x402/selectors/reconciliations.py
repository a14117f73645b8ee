"""What the last comparisons of chain and books found, for staff pages and for the next comparison."""

from x402.models import Reconciliation


def latest_reconciliation() -> Reconciliation | None:
    """The newest comparison, or None when there was none yet."""
    return Reconciliation.objects.order_by("-created_at").first()


def compared_until(network: str) -> int | None:
    """The block up to which the last comparison that also booked has looked, or None."""
    last = Reconciliation.objects.filter(applied=True, to_blocks__has_key=network).order_by("-created_at").first()
    return None if last is None else int(last.to_blocks[network])
