"""The roles of staff, as groups: what each may see and do. Every migration writes the groups anew from this table.

A member of staff has one role or several; superusers have all. Nobody edits the groups by hand: the next migration
would undo it. `support` helps payers, `finance` decides about money, `operator` keeps the service running, `auditor`
sees everything and does nothing.
"""

from collections.abc import Mapping
from typing import Any, Final

from django.apps import apps
from django.contrib.auth.management import create_permissions

SUPPORT: Final = "support"
FINANCE: Final = "finance"
OPERATOR: Final = "operator"
AUDITOR: Final = "auditor"

_PAYERS: Final = frozenset(
    {
        "accounts.view_account",
        "accounts.view_wallet",
        "accounts.view_session",
        "billing.view_account",
        "billing.view_billingentry",
        "billing.view_creditnote",
        "billing.view_deadletter",
        "billing.view_journal",
        "x402.view_keptquote",
        "x402.view_payment",
        "x402.view_refund",
    }
)
_HOLDERS: Final = frozenset({"nft.review_personality", "nft.view_onboardingsession", "nft.view_personality"})
_HOOKS: Final = frozenset({"billing.view_outboxevent", "billing.view_webhookdelivery", "billing.view_webhookendpoint"})
_RUNNING: Final = frozenset(
    {
        "billing.see_operations",
        "billing.view_bulkdecision",
        "billing.view_stream",
        "x402.view_chaintransaction",
        "x402.view_reconciliation",
        "x402.view_relayer",
    }
)
ROLES: Final[Mapping[str, frozenset[str]]] = {
    SUPPORT: _PAYERS
    | _HOOKS
    | _HOLDERS
    | {"billing.annotate_deadletter", "billing.retry_deadletter", "billing.replay_delivery"},
    FINANCE: _PAYERS
    | {
        "billing.annotate_deadletter",
        "billing.bulk_deadletter",
        "billing.grant_approval",
        "billing.request_approval",
        "billing.retry_deadletter",
        "billing.view_approval",
        "billing.view_bulkdecision",
        "billing.void_deadletter",
        "inference.add_modelprice",
        "inference.view_callusage",
        "inference.view_model",
        "inference.view_modelprice",
        "x402.view_chaintransaction",
        "x402.view_reconciliation",
    },
    OPERATOR: _PAYERS
    | _HOOKS
    | _HOLDERS
    | _RUNNING
    | {
        "accounts.add_allowlistentry",
        "accounts.change_allowlistentry",
        "accounts.change_featureflag",
        "accounts.delete_allowlistentry",
        "accounts.view_allowlistentry",
        "accounts.view_featureflag",
        "billing.add_webhookendpoint",
        "billing.annotate_deadletter",
        "billing.bulk_deadletter",
        "billing.change_webhookendpoint",
        "billing.force_circuit",
        "billing.grant_approval",
        "billing.replay_delivery",
        "billing.request_approval",
        "billing.retry_deadletter",
        "billing.see_webhook_secret",
        "billing.view_approval",
        "inference.add_modelroute",
        "inference.change_model",
        "inference.change_modelroute",
        "inference.delete_modelroute",
        "inference.view_callusage",
        "inference.view_model",
        "inference.view_modelprice",
        "inference.view_modelroute",
        "inference.view_ownkey",
        "nft.restore_personality",
    },
    AUDITOR: frozenset(),  # every `view_` there is, and `see_operations`: see `permissions_of`
}


def permissions_of(role: str, known: frozenset[str]) -> frozenset[str]:
    """What a role may, of the permissions that exist."""
    if role == AUDITOR:
        views = {name for name in known if name.partition(".")[2].startswith("view_")}
        return frozenset(views | {"billing.see_operations"})
    return ROLES[role]


def write_groups(**_signal: Any) -> None:
    """Make the groups what the table says, after all permissions exist."""
    from django.contrib.auth.models import Group, Permission

    for config in apps.get_app_configs():
        create_permissions(config, verbosity=0)
    rows = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    for role in ROLES:
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set([rows[name] for name in sorted(permissions_of(role, frozenset(rows)))])
