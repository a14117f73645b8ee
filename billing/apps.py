"""The ledger as a Django app."""

from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate

# Functions that give a role its rights, each made by the migration that made what it grants.
GRANTS = ("grant_to_application", "grant_recovery_to", "grant_inline_lane_to")

APPLICATION_ROLE = "loa_app"  # where a project has a role of its own for the application, and calls it nothing else


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Ledger"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Compare each new connection's database with the one that was trusted; grant rights after every migrate.

        Granting each time gives a role that is made later its rights too.
        """
        recovery = import_module("billing.services.recovery")
        connection_created.connect(recovery.inspect_new_connection, dispatch_uid="billing.recovery")
        import_module("billing.checks")
        post_migrate.connect(grant_after_migrate, sender=self, dispatch_uid="billing.grant_after_migrate")


def grant_after_migrate(*, using: str, **_signal: Any) -> None:
    """Give the application role EXECUTE and SELECT, where the role and the ledger exist and we own the ledger."""
    connection = connections[using]
    role = getattr(settings, "LOA_APPLICATION_ROLE", APPLICATION_ROLE)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'billing'"
            " AND pg_has_role(current_user, nspowner, 'MEMBER'))"
        )
        (is_owner,) = cursor.fetchone()
        if is_owner:
            for name in GRANTS:
                cursor.execute("SELECT to_regprocedure(%s) IS NOT NULL", [f"billing.{name}(text)"])
                (is_there,) = cursor.fetchone()
                if is_there:
                    cursor.execute(f"SELECT billing.{name}(%s)", [role])
