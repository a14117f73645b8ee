"""How each criterion of a gate is found out. Every probe asks the real thing and leaves nothing behind but a log line.

Probes raise ProbeFailed with what they found; any other exception also counts as a failure. No probe takes an answer
that merely exists for one that works: a 401 from a closed door is a failure like any other.
"""

import importlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from django.utils import timezone

from billing.domain.errors import InsufficientFunds
from billing.models import DeadLetter
from billing.selectors.reports import conservation
from billing.services import recovery, reservations
from inference.selectors.catalogue import offered_models
from loa_site.gates.inner_requests import ask, json_of, require_status
from loa_site.gates.outcome import Probe, ProbeFailed
from loa_site.health import parts
from outbound.breaker import State
from outbound.breaker_state import settlement_breaker
from telemetry.configuration import loa
from telemetry.identifiers import new_id
from x402.models import Payment, PaymentState
from x402.protocol import headers
from x402.protocol.errors import MalformedPayment

RECENT: Final = timedelta(hours=24)
PENDING_MAX: Final = 10  # as the alarm billing-pending-high
PROBE_CHAT: Final = {"prompt": "Is the gate open?", "max_tokens": 8}


def service_is_ready() -> Mapping[str, object]:
    """Every part that payments stand on answers, and money may move."""
    states = parts.states()
    failing = [f"{state.name}: {state.error}" for state in states.values() if not state.is_ok]
    if failing:
        raise ProbeFailed("; ".join(failing))
    return {name: state.latency_ms for name, state in states.items() if not state.is_absent}


def billing_state_machine() -> Mapping[str, object]:
    """A reserve on an empty account reaches the ledger and is refused there for want of money, writing nothing."""
    entry_id = new_id("ent")
    try:
        reservations.reserve(
            entry_id=entry_id, account_id=new_id("acc"), amount_micro_usd=1, correlation_id=new_id("gate")
        )
    except InsufficientFunds as refusal:
        return {"entry_id": entry_id, "answered": refusal.code}
    raise ProbeFailed("An empty account could reserve money.")


def quote_generation() -> Mapping[str, object]:
    """An unpaid call is answered by terms that name our wallet, our network and a quote."""
    terms = _terms_of("POST", "/api/v1/x402/invoke", {"model": loa("DEFAULT_MODEL"), **PROBE_CHAT})
    return {"network": terms["network"], "amount": terms["amount"], "pay_to": terms["payTo"]}


def conservation_guard() -> Mapping[str, object]:
    """All balances sum to zero in every denomination."""
    found = conservation()
    if not found.is_conserved:
        raise ProbeFailed(f"Balances do not sum to zero: {found.differences}.")
    return {"differences": found.differences}


def credit_purchase() -> Mapping[str, object]:
    """An unpaid purchase of the smallest pack is answered by terms for exactly its price."""
    purchase = {"Idempotency-Key": new_id("gate")}
    terms = _terms_of("POST", "/api/v1/credits/purchase", {"pack": 500}, headers_sent=purchase)
    if terms["amount"] != "5000000":
        raise ProbeFailed(f"A pack of 500 costs {terms['amount']} MicroUSDC, not 5000000.")
    return {"amount": terms["amount"], "pay_to": terms["payTo"]}


def payment_flow() -> Mapping[str, object]:
    """A payment went all the way within a day, and terms for the next one are offered now.

    Evidence is a real payment: settled on the chain, served, and booked. No probe pays by itself.
    """
    quote_generation()
    since = timezone.now() - RECENT
    served = Payment.objects.filter(state=PaymentState.SERVED, served_at__gte=since).exclude(transaction_hash="")
    payment = served.order_by("-served_at").first()
    if payment is None:
        raise ProbeFailed("No payment was settled and served within 24 hours; pay for one call (manage.py x402_pay).")
    stuck = Payment.objects.filter(
        state__in=(PaymentState.SETTLING, PaymentState.SETTLEMENT_UNKNOWN), created_at__lt=timezone.now() - RECENT
    ).count()
    if stuck:
        raise ProbeFailed(f"{stuck} payments have waited for their settlement for more than a day.")
    return {
        "payment_id": payment.pk,
        "transaction_hash": payment.transaction_hash,
        "charged_micro_usdc": str(payment.charged_micro_usdc),
        "correlation_id": payment.correlation_id,
    }


def model_routing() -> Mapping[str, object]:
    """Every model on sale has a price and somebody who answers for it, and there are at least two."""
    listed = json_of(ask("GET", "/api/v1/models"), asked="GET /api/v1/models").get("models")
    names = sorted(str(model["name"]) for model in listed) if isinstance(listed, list) else []
    routes = {model.name: [route.upstream for route in model.routes] for model in offered_models()}
    unrouted = [name for name in names if not routes.get(name)]
    if unrouted:
        raise ProbeFailed(f"No upstream answers for {', '.join(unrouted)}.")
    if len(names) < 2:
        raise ProbeFailed(f"{len(names)} model is on sale ({', '.join(names) or 'none'}); routing needs two.")
    for name in names:
        _terms_of("POST", "/api/v1/x402/invoke", {"model": name, **PROBE_CHAT})
    return {"models": {name: routes[name] for name in names}}


def no_alarm_condition() -> Mapping[str, object]:
    """What the alarms watch is well as the service itself sees it: circuit, backlog, poison, recovery."""
    waiting = DeadLetter.objects.filter(state="pending").count()
    poisoned = DeadLetter.objects.filter(state="poisoned").count()
    circuit = settlement_breaker.state()
    found = {
        "settlement_circuit": circuit.value,
        "dead_letters_pending": waiting,
        "dead_letters_poisoned": poisoned,
        "in_recovery": recovery.is_under_way(),
    }
    if circuit is State.OPEN or waiting > PENDING_MAX or poisoned or found["in_recovery"]:
        raise ProbeFailed(", ".join(f"{name}={value}" for name, value in found.items()))
    return found


def elsewhere(path: str) -> Probe:
    """The probe of an app that may not be installed: then the criterion fails and says so."""

    def probe() -> Mapping[str, object]:
        module_name, _, function = path.rpartition(".")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise ProbeFailed(f"{path} is not there: this is not installed.") from error
        evidence: Mapping[str, object] = getattr(module, function)()
        return evidence

    return probe


def _terms_of(
    method: str, path: str, body: object, *, headers_sent: Mapping[str, str] | None = None
) -> dict[str, object]:
    """The first offer of an unpaid call, read from the header as a client would. Raises ProbeFailed."""
    asked = f"{method} {path}"
    response = ask(method, path, body, headers=headers_sent)
    require_status(response, 402, asked=asked)
    try:
        document = headers.decode_object(response.headers.get(headers.PAYMENT_REQUIRED, ""), name="terms")
    except MalformedPayment as error:
        raise ProbeFailed(f"{asked} offered terms that cannot be read.") from error
    offers = document.get("accepts")
    if not isinstance(offers, list) or not offers or not isinstance(offers[0], dict):
        raise ProbeFailed(f"{asked} offered no terms.")
    offer: dict[str, object] = dict(offers[0])
    extra = offer.get("extra")
    if not isinstance(extra, dict) or not extra.get("quote"):
        raise ProbeFailed(f"{asked} offered terms without a quote.")
    return offer
