"""When refunds stop: without a key that pays them, in recovery, and while the treasury's books and the chain differ.

A wrong refund cannot be taken back, so the gate is asked before money leaves its notes and again before anything is
signed (rule R4).
"""

from accounts.services.errors import AccountsError
from billing.services import recovery
from x402.models.reconciliation import Reconciliation
from x402.services import refund_float


class RefundsStopped(AccountsError):
    """Raised while no refund is begun."""

    code = "refunds_stopped"


def require_open() -> None:
    """Refuse while refunds are stopped. Raises RefundsStopped, RecoveryInProgress."""
    recovery.require_none()
    reason = why_stopped()
    if reason:
        raise RefundsStopped(reason)


def is_open() -> bool:
    """Whether anything may be signed now."""
    return not recovery.is_under_way() and not why_stopped()


def why_stopped() -> str:
    """Why no refund is paid now, in a sentence; empty when refunds are paid."""
    if not refund_float.is_offered():
        return "This deployment pays no refunds on the chain."
    newest = Reconciliation.objects.order_by("-created_at").values_list("difference_count", flat=True).first()
    if newest:
        return "The treasury's books and the chain differ; refunds wait until a person has looked."
    return ""
