"""The facilitator, below `/facilitator/`."""

from django.urls import path

from x402.api.discovery import DiscoveryView
from x402.api.facilitator import SettleView, SupportedView, VerifyView

urlpatterns = [
    path("verify", VerifyView.as_view(), name="facilitator-verify"),
    path("settle", SettleView.as_view(), name="facilitator-settle"),
    path("supported", SupportedView.as_view(), name="facilitator-supported"),
    path("discovery/resources", DiscoveryView.as_view(), name="facilitator-discovery"),
]
