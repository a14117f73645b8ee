"""Paid views that settle after their work, each with one habit. What they cost is what `costs` says last."""

import threading
from collections import Counter

from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from x402.paywall import requires_payment

runs: Counter[str] = Counter()
costs: dict[str, int] = {}
gate = threading.Event()
gate.set()
during_work: list[object] = []  # callables that a test lets happen in the middle of the work


def _work(request: HttpRequest, name: str) -> JsonResponse:
    runs[name] += 1
    for act in during_work:
        act()
    gate.wait(10)
    if name in costs:
        request.x402.charge(costs[name])
    return JsonResponse({"did": name, "maximum": request.x402.maximum_micro_usdc})


@requires_payment(price=2_000, scheme="upto", description="Up to two thousandths")
def metered(request: HttpRequest) -> HttpResponse:
    return _work(request, "metered")


@requires_payment(price=2_000, scheme="upto", atomic=False)
def unbound(request: HttpRequest) -> HttpResponse:
    return _work(request, "unbound")


@requires_payment(price=2_000, scheme="upto", settle="deferred")
def deferred(request: HttpRequest) -> HttpResponse:
    return _work(request, "deferred")


@requires_payment(price=2_000, settle="deferred")
def deferred_exact(request: HttpRequest) -> HttpResponse:
    return _work(request, "deferred_exact")


@requires_payment(price=2_000, settle="after")
def after_exact(request: HttpRequest) -> HttpResponse:
    return _work(request, "after_exact")


@requires_payment(price=2_000, scheme="upto")
def failing(request: HttpRequest) -> HttpResponse:
    runs["failing"] += 1
    raise RuntimeError("the work broke")


@requires_payment(price=2_000, scheme="upto")
def writing(request: HttpRequest) -> HttpResponse:
    Group.objects.create(name=request.GET["name"])
    return _work(request, "writing")


urlpatterns = [
    path("metered", metered),
    path("unbound", unbound),
    path("deferred", deferred),
    path("deferred-exact", deferred_exact),
    path("after-exact", after_exact),
    path("failing", failing),
    path("writing", writing),
]
