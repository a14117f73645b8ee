"""Where what is sold is found, below `/api/v1/`."""

from django.urls import path

from inference.api.catalogue import ModelsView
from inference.api.paid import invoke, quote

urlpatterns = [
    path("x402/quote", quote, name="x402-quote"),
    path("x402/invoke", invoke, name="x402-invoke"),
    path("pay/chat", invoke, name="pay-chat"),
    path("models", ModelsView.as_view(), name="models"),
]
