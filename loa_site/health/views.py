"""Probes and metrics. A probe tells strangers one word per part; errors and figures are for whoever may see metrics.

`/livez` and `/healthz` ask nothing: a process that is alive must not be killed because its database is away. `/readyz`
and `/health/deps` answer 503 while a required part fails. `/health` is always 200 and tells the whole state.
"""

import hmac
import ipaddress
import time
from collections.abc import Mapping
from typing import Final

import django_prometheus.exports
from django.db import DatabaseError
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.addresses import client_address
from billing.models import DeadLetter
from loa_site.health import parts
from outbound import breaker_state
from telemetry import multiprocess
from telemetry.configuration import loa
from telemetry.problem import problem_response

STARTED_AT: Final = time.monotonic()
NO_STORE: Final = {"Cache-Control": "private, no-store"}


@require_safe
def livez(_request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"}, headers=NO_STORE)


@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers, and since when (seconds)."""
    return JsonResponse({"status": "ok", "uptime": int(time.monotonic() - STARTED_AT)}, headers=NO_STORE)


@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """Whether requests should come here: 200, or 503 while a required part fails; `recovery` is 200 and says so."""
    states = parts.states()
    is_ready = parts.is_ready()
    body = {
        "status": _readiness(states, is_ready=is_ready),
        "parts": {name: state.status for name, state in states.items()},
    }
    headers = NO_STORE if is_ready else {**NO_STORE, "Retry-After": "5"}
    return JsonResponse(body, status=200 if is_ready else 503, headers=headers)


@require_safe
def health_deps(request: HttpRequest) -> HttpResponse:
    """Every part with its latency; errors only for those who may see metrics."""
    is_insider = may_see_metrics(request)
    checks = {
        name: {"status": state.status, "latency_ms": state.latency_ms, "required": state.is_required}
        | ({"error": state.error} if is_insider and state.error else {})
        for name, state in parts.states().items()
    }
    is_ready = parts.is_ready()
    body = {"status": _readiness(parts.states(), is_ready=is_ready), "checks": checks}
    return JsonResponse(body, status=200 if is_ready else 503, headers=NO_STORE)


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """The whole state for people and gates, always 200."""
    states = parts.states()
    is_ready = parts.is_ready()
    all_ok = all(state.is_ok for state in states.values())
    body: dict[str, object] = {
        "status": "healthy" if all_ok else "degraded" if is_ready else "unhealthy",
        "uptime": int(time.monotonic() - STARTED_AT),
        "timestamp": timezone.now().isoformat(),
        "ready_for_billing": is_ready and states["recovery"].is_ok,
        "checks": {name: state.status for name, state in states.items()},
        "settlement_circuit": breaker_state.settlement_breaker.state().value.lower(),
    }
    if may_see_metrics(request) and states["ledger"].is_ok:
        body["billing"] = _dead_letters()
    return JsonResponse(body, headers=NO_STORE)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text for a bearer of `METRICS_TOKEN`, or without one for the networks in `METRICS_NETWORKS`."""
    if not may_see_metrics(request):
        return problem_response("authentication_required", detail="Metrics need the metrics token.")
    breaker_state.refresh_gauges()
    multiprocess.prune_dead()
    response: HttpResponse = django_prometheus.exports.ExportToDjangoView(request)
    response.headers["Cache-Control"] = NO_STORE["Cache-Control"]
    return response


def may_see_metrics(request: HttpRequest) -> bool:
    """Whether the caller holds the token; where no token is set, whether it is on an allowed network."""
    token = loa("METRICS_TOKEN")
    if token:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
    peer = client_address(
        request.META.get("REMOTE_ADDR", ""),
        request.META.get("HTTP_X_FORWARDED_FOR", ""),
        trusted_proxies=loa("TRUSTED_PROXY_COUNT"),
    )
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    networks = [ipaddress.ip_network(network, strict=False) for network in loa("METRICS_NETWORKS")]
    return any(address.version == network.version and address in network for network in networks)


def _readiness(states: Mapping[str, parts.PartState], *, is_ready: bool) -> str:
    """One word: not_ready, recovery while only what is booked is served, or ready."""
    if not is_ready:
        return "not_ready"
    return "ready" if states["recovery"].is_ok else "recovery"


def _dead_letters() -> dict[str, object]:
    """How many dead letters wait and how old the oldest is."""
    waiting = DeadLetter.objects.filter(state="pending")
    try:
        found = waiting.aggregate(size=Count("id"), oldest=Min("created_at"))
    except DatabaseError:
        return {"dlq_size": None, "dlq_oldest_entry_age_ms": None}
    age = timezone.now() - found["oldest"] if found["oldest"] else None
    return {
        "dlq_size": found["size"],
        "dlq_oldest_entry_age_ms": int(age.total_seconds() * 1000) if age is not None else 0,
        "dlq_store_type": "postgres",
        "dlq_durable": True,
    }
