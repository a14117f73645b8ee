"""Paid views for tests, each with one habit."""

import threading
from collections import Counter
from fractions import Fraction

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from x402.paywall import requires_payment
from x402.pricing import Quotation

runs: Counter[str] = Counter()
gate = threading.Event()
gate.set()


@requires_payment(price="$0.01", description="A fixed price")
def fixed(request: HttpRequest) -> HttpResponse:
    runs["fixed"] += 1
    return JsonResponse({"answer": 42, "payer": request.x402.payer})


@requires_payment(price=2_000, description="Half of the maximum")
def metered(request: HttpRequest) -> HttpResponse:
    runs["metered"] += 1
    request.x402.charge(700)
    return JsonResponse({"saw": request.x402.json})


@requires_payment(price=2_000)
def dearer_than_promised(request: HttpRequest) -> HttpResponse:
    request.x402.charge(5_000)
    return JsonResponse({"ok": True})


@requires_payment(price=2_000)
def failing(request: HttpRequest) -> HttpResponse:
    runs["failing"] += 1
    raise RuntimeError("the work broke")


@requires_payment(price=2_000)
def refusing(request: HttpRequest) -> HttpResponse:
    runs["refusing"] += 1
    return JsonResponse({"error": "no such thing"}, status=404)


@requires_payment(price=2_000)
def slow(request: HttpRequest) -> HttpResponse:
    runs["slow"] += 1
    gate.wait(10)
    return JsonResponse({"slow": True})


@requires_payment(price=lambda request: Quotation(2_000, rate=Fraction(4, 5)))
def converted(request: HttpRequest) -> HttpResponse:
    maximum = request.x402.maximum_micro_usdc
    request.x402.charge(700)
    return JsonResponse({"maximum": maximum})


@requires_payment(price=6_000)
def expensive(request: HttpRequest) -> HttpResponse:
    request.x402.charge(700)
    return JsonResponse({"ok": True})


@requires_payment(price="$0.01")
def failing_dear(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the work broke")


urlpatterns = [
    path("converted", converted),
    path("expensive", expensive),
    path("failing-dear", failing_dear),
    path("fixed", fixed),
    path("metered", metered),
    path("dearer", dearer_than_promised),
    path("failing", failing),
    path("refusing", refusing),
    path("slow", slow),
]
