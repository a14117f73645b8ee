"""The Django application `x402`."""

from importlib import import_module

from django.apps import AppConfig

from billing.services.recovery_report import add_reporter
from billing.services.verification import add_check


class X402Config(AppConfig):
    name = "x402"
    label = "x402"
    verbose_name = "Payments (x402)"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("x402.checks")
        add_check("payments", "x402.services.ledger_checks.check_payments_have_journals")
        add_reporter("chain", "x402.services.recovery_matching.reporter")
