"""Where what is sold is found, below `/api/v1/`."""

from django.urls import path

from inference.api.agent import agent_chat
from inference.api.catalogue import ModelsView
from inference.api.own_keys import OneOwnKeyView, OwnKeysView, ValidateView
from inference.api.paid import invoke, quote
from inference.api.usage import UsageView

urlpatterns = [
    path("x402/quote", quote, name="x402-quote"),
    path("x402/invoke", invoke, name="x402-invoke"),
    path("pay/chat", invoke, name="pay-chat"),
    path("agent/chat", agent_chat, name="agent-chat"),
    path("models", ModelsView.as_view(), name="models"),
    path("usage", UsageView.as_view(), name="usage"),
    path("byok/validate", ValidateView.as_view(), name="byok-validate"),
    path("byok/keys", OwnKeysView.as_view(), name="byok-keys"),
    path("byok/keys/<str:key_id>", OneOwnKeyView.as_view(), name="byok-key"),
]
