"""A site that sells three things: one price, a shelf, and something whose price depends on the request."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path

from tests.x402.paid_urls import fixed
from x402.api.discovery import WellKnownView
from x402.paywall import requires_payment
from x402.pricing import PricedRequest


def by_length(request: PricedRequest) -> int:
    """One MicroUSDC a byte."""
    return len(request.json["prompt"])


@requires_payment(price="$0.01", description="Anything off the shelf")
def shelf(request: HttpRequest, name: str) -> HttpResponse:
    return JsonResponse({"name": name})


@requires_payment(price=by_length, description="An answer by the byte")
def chat(request: HttpRequest) -> HttpResponse:
    return JsonResponse({})


def free(request: HttpRequest) -> HttpResponse:
    return JsonResponse({})


urlpatterns = [
    path("fixed", fixed),
    path("", include([path("shelf/<str:name>", shelf), path("chat", chat)])),
    path("free", free),
    path("facilitator/", include("x402.api.facilitator_urls")),
    path(".well-known/x402", WellKnownView.as_view()),
]
