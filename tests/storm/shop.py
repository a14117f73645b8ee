"""What the payers of a storm buy: one view for each order of settling, and some that break, take long or run again.

Each run of a view is a line in the file that STORM_RUNS names, so that work done twice is seen.
"""

import os
import threading

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from x402.paywall import requires_payment

FIXED_MICRO_USDC = 10_000
METERED_MICRO_USDC = 2_000
COST_MICRO_USDC = 700
WORK_SECONDS = 0.7


def _run(request: HttpRequest, what: str) -> JsonResponse:
    payment_id = str(request.x402.payment_id)
    with open(os.environ["STORM_RUNS"], "a", encoding="utf-8") as runs:
        runs.write(f"{what} {payment_id}\n")
    return JsonResponse({"sold": what, "payment_id": payment_id})


@requires_payment(price=FIXED_MICRO_USDC)
def item(request: HttpRequest, name: str) -> HttpResponse:
    return _run(request, "item")


@requires_payment(price=FIXED_MICRO_USDC, atomic=False)
def slow(request: HttpRequest, name: str) -> HttpResponse:
    threading.Event().wait(WORK_SECONDS)
    return _run(request, "slow")


@requires_payment(price=FIXED_MICRO_USDC, on_crash="rerun", atomic=False)
def rerun(request: HttpRequest, name: str) -> HttpResponse:
    threading.Event().wait(WORK_SECONDS)
    return _run(request, "rerun")


@requires_payment(price=FIXED_MICRO_USDC)
def broken(request: HttpRequest, name: str) -> HttpResponse:
    _run(request, "broken")
    raise RuntimeError("the work broke")


@requires_payment(price=METERED_MICRO_USDC, settle="after")
def after(request: HttpRequest, name: str) -> HttpResponse:
    return _run(request, "after")


@requires_payment(price=METERED_MICRO_USDC, scheme="upto")
def metered(request: HttpRequest, name: str) -> HttpResponse:
    request.x402.charge(COST_MICRO_USDC)
    return _run(request, "metered")


@requires_payment(price=METERED_MICRO_USDC, scheme="upto", settle="deferred")
def deferred(request: HttpRequest, name: str) -> HttpResponse:
    request.x402.charge(COST_MICRO_USDC)
    return _run(request, "deferred")


urlpatterns = [
    path("item/<str:name>", item),
    path("slow/<str:name>", slow),
    path("rerun/<str:name>", rerun),
    path("broken/<str:name>", broken),
    path("after/<str:name>", after),
    path("metered/<str:name>", metered),
    path("deferred/<str:name>", deferred),
]
