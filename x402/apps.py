"""The Django application `x402`."""

from django.apps import AppConfig


class X402Config(AppConfig):
    name = "x402"
    label = "x402"
    verbose_name = "Payments (x402)"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from x402 import checks  # noqa: F401 - registers the system checks
