"""A shop under attack: paid views that write down each run, so that work done twice is seen.

The same module serves tests in this process and web servers in processes of their own (`tests.attacks.shop_settings`);
there the runs go into the file that SHOP_RUNS names and a slow view waits for the file that SHOP_GATE names.
"""

import os
import threading
import time
from collections import Counter
from pathlib import Path

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from x402.paywall import requires_payment

FIXED_MICRO_USDC = 10_000
HUGE_BODY_BYTES = 1_500_000

runs: Counter[str] = Counter()
gate = threading.Event()
gate.set()
costs: list[int] = []
_lock = threading.Lock()


def _run(request: HttpRequest) -> str:
    """Write this run down; the payment it was for."""
    payment_id = str(request.x402.payment_id)
    runs[payment_id] += 1
    if file := os.environ.get("SHOP_RUNS"):
        with _lock, open(file, "a", encoding="utf-8") as log:
            log.write(payment_id + "\n")
    return payment_id


def _wait_for_gate() -> None:
    if file := os.environ.get("SHOP_GATE"):
        deadline = time.monotonic() + 30
        while not Path(file).exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return
    gate.wait(15)


@requires_payment(price=FIXED_MICRO_USDC, description="One thing off the shelf")
def item(request: HttpRequest, name: str) -> HttpResponse:
    return JsonResponse({"item": name, "for": request.x402.payer, "payment_id": _run(request)})


@requires_payment(price=FIXED_MICRO_USDC, description="The same price, another thing")
def twin(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"twin": True, "payment_id": _run(request)})


@requires_payment(price=2_000, description="An answer to what was asked")
def ask(request: HttpRequest) -> HttpResponse:
    payment_id = _run(request)
    request.x402.charge(costs[-1] if costs else 700)
    return JsonResponse({"saw": request.x402.json, "payment_id": payment_id})


@requires_payment(price=2_000, description="An answer that takes its time")
def slow(request: HttpRequest) -> HttpResponse:
    payment_id = _run(request)
    _wait_for_gate()
    return JsonResponse({"slow": True, "payment_id": payment_id})


@requires_payment(price=2_000, description="More than we keep")
def huge(request: HttpRequest) -> HttpResponse:
    _run(request)
    return HttpResponse(b"x" * HUGE_BODY_BYTES, content_type="application/octet-stream")


@requires_payment(price=2_000, description="A handler that sets what no shared cache may see")
def careless(request: HttpRequest) -> HttpResponse:
    _run(request)
    response = HttpResponse("for the payer alone", content_type="text/plain")
    response["Cache-Control"] = "public, max-age=3600"
    response["ETag"] = '"v1"'
    response.set_cookie("session", "somebody")
    return response


@requires_payment(price=2_000, description="A handler that breaks after its first effect")
def broken(request: HttpRequest) -> HttpResponse:
    _run(request)
    raise RuntimeError("the work broke")


@requires_payment(price=2_000, description="A stream that breaks in the middle")
def torn(request: HttpRequest) -> StreamingHttpResponse:
    _run(request)

    def chunks():
        yield b"first"
        raise RuntimeError("the stream broke")

    return StreamingHttpResponse(chunks())


@requires_payment(price=2_000, scheme="upto", description="What it costs, up to the price")
def metered(request: HttpRequest) -> HttpResponse:
    payment_id = _run(request)
    _wait_for_gate()
    request.x402.charge(costs[-1] if costs else 700)
    return JsonResponse({"metered": True, "payment_id": payment_id})


urlpatterns = [
    path("metered", metered),
    path("item/<str:name>", item),
    path("twin", twin),
    path("ask", ask),
    path("slow", slow),
    path("huge", huge),
    path("careless", careless),
    path("broken", broken),
    path("torn", torn),
]
