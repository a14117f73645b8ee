"""Outbound as a Django app: no tables."""

from django.apps import AppConfig


class OutboundConfig(AppConfig):
    """Named so that its checks and metrics have a home."""

    name = "outbound"
    label = "outbound"
    verbose_name = "Outbound calls"
