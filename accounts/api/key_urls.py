"""Endpoints of API keys; the site mounts them below /api/v1/."""

from django.urls import path

from accounts.api.keys import KeyBalanceView, KeyLimitsView, KeysView, OneKeyView, RotateKeyView

urlpatterns = [
    path("keys", KeysView.as_view(), name="keys"),
    path("keys/<str:key_id>", OneKeyView.as_view(), name="key"),
    path("keys/<str:key_id>/rotate", RotateKeyView.as_view(), name="key-rotate"),
    path("keys/<str:key_id>/limits", KeyLimitsView.as_view(), name="key-limits"),
    path("keys/<str:key_id>/balance", KeyBalanceView.as_view(), name="key-balance"),
]
