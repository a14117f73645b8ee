"""Telemetry as a Django app: it has no tables, it starts tracing when `OTEL_ENABLED` is exactly true."""

from importlib import import_module

from django.apps import AppConfig


class TelemetryConfig(AppConfig):
    """Starts tracing once the settings are known; without `OTEL_ENABLED=true` nothing is imported or started."""

    name = "telemetry"
    label = "telemetry"
    verbose_name = "Telemetry"

    def ready(self) -> None:
        import_module("telemetry.checks")
        from telemetry.tracing import init_tracing

        init_tracing()
