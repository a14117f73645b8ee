"""Plan 12.2 on the wire: a paid request, its settlement and its retry in a worker are one trace at a real collector.

The web server and the Celery worker are processes of their own. The booking of the change is refused once in the web
process, by a rule in the database that is taken away afterwards, so that a dead letter is written and the worker
books it.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings

from billing.models import DeadLetter
from tests.journeys.live_site import ROOT, LiveSite
from tests.telemetry.collector import Collector, ReceivedSpan, running_collector
from tests.x402.buyer import Buyer, decoded
from tests.x402.chain_tools import LocalChain
from x402.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.journey]

INVOKE = "/api/v1/x402/invoke"
QUESTION = {"model": "loa-demo", "prompt": "What is one trace?", "max_tokens": 1024}
STAGES = ("x402.transaction", "x402.quote", "x402.verify", "x402.settle", "x402.finalize", "x402.ledger")


REFUSE = """
CREATE FUNCTION public.refuse_a_note() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'refused by the test' USING ERRCODE = '23514'; END $$;
CREATE TRIGGER refuse_a_note BEFORE INSERT ON billing.credit_note FOR EACH ROW WHEN (NEW.wallet = '{wallet}')
EXECUTE FUNCTION public.refuse_a_note();
ALTER TABLE billing.credit_note ENABLE ALWAYS TRIGGER refuse_a_note;
"""
ALLOW = "DROP TRIGGER refuse_a_note ON billing.credit_note; DROP FUNCTION public.refuse_a_note()"


@contextmanager
def no_note_for(wallet: str) -> Iterator[None]:
    """The database refuses a note of this wallet meanwhile."""
    server = settings.TEST_ADMIN_DATABASE_URL.rpartition("/")[0]
    name = settings.DATABASES["default"]["NAME"]
    with psycopg.connect(f"{server}/{name}", autocommit=True) as connection:
        connection.execute(REFUSE.format(wallet=wallet.lower()))
        try:
            yield
        finally:
            connection.execute(ALLOW)


def wait_for(is_there: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_there():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@contextmanager
def worker(variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker of the default queue; it is asked to end and given the time to."""
    command = [sys.executable, "-m", "celery", "-A", "loa_site.celery", "worker", "-Q", "default", "-c", "1"]
    child = subprocess.Popen(
        [*command, "--without-mingle", "--without-gossip", "-n", "trace@%h"],
        cwd=ROOT,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(5)


@pytest.fixture(scope="module")
def traced_payment(django_db_blocker: Any) -> Iterator[tuple[Collector, str, str]]:
    """A collector that saw a whole payment, the trace's id and the payment's."""
    with running_collector() as collector, django_db_blocker.unblock():
        variables = {
            "OTEL_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        buyer = Buyer("0x" + secrets.token_hex(32))
        LocalChain(settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0]).mint(buyer.address, 1_000_000)
        with LiveSite(variables) as site:
            unpaid = site.ask("POST", INVOKE, QUESTION)
            terms = decoded({name.upper(): value for name, value in unpaid.headers.items()}["PAYMENT-REQUIRED"])
            with no_note_for(buyer.address):
                paid = site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": buyer.v2_header(terms)})
            assert paid.status == 200, paid.body
            payment = Payment.objects.get(payer=buyer.address.lower())
            assert DeadLetter.objects.filter(entry_id=payment.entry_id, state="pending").exists()
            with worker(variables):
                wait_for(lambda: not DeadLetter.objects.filter(entry_id=payment.entry_id, state="pending").exists())
            trace_id = payment.trace_context.split("-")[1]
            wait_for(lambda: {one.name for one in collector.of_trace(trace_id)} >= set(STAGES))
            wait_for(lambda: len([one for one in collector.of_trace(trace_id) if one.name == "x402.finalize"]) >= 2)
        yield collector, trace_id, payment.pk


def named(spans: list[ReceivedSpan], name: str) -> list[ReceivedSpan]:
    return [span for span in spans if span.name == name]


def test_all_of_a_payment_is_one_trace_with_the_parents_of_the_plan(traced_payment: tuple[Collector, str, str]) -> None:
    collector, trace_id, _ = traced_payment
    spans = collector.of_trace(trace_id)
    asked, paid = sorted(named(spans, "x402.transaction"), key=lambda span: span.parent_id != "")
    [quote], [verify], [settle] = (named(spans, f"x402.{stage}") for stage in ("quote", "verify", "settle"))
    finalizes = named(spans, "x402.finalize")
    ids = {span.span_id for span in (settle, *finalizes)}

    assert asked.parent_id == ""
    assert paid.parent_id == asked.span_id, "the quote carried the trace to the payment"
    assert quote.parent_id == asked.span_id
    assert {span.parent_id for span in (verify, settle, *finalizes)} == {paid.span_id}
    assert {span.parent_id for span in named(spans, "x402.ledger")} <= ids
    assert settle.span_id in {span.parent_id for span in named(spans, "x402.ledger")}
    assert collector.paths == {"/v1/traces"}


def test_each_stage_carries_the_attributes_of_the_plan(traced_payment: tuple[Collector, str, str]) -> None:
    collector, trace_id, payment_id = traced_payment
    spans = collector.of_trace(trace_id)
    payment = Payment.objects.get(pk=payment_id)
    root = {"quote_id": payment.quote_id, "model": "loa-demo", "max_cost": payment.amount_micro_usdc}

    for span in [*named(spans, "x402.transaction"), *named(spans, "x402.quote")]:
        assert span.attributes.items() >= root.items(), span.name
    [verify], [settle] = named(spans, "x402.verify"), named(spans, "x402.settle")
    facts = {"payment_id": payment_id, "wallet_address": payment.payer, "is_replay": False}
    assert verify.attributes.items() >= facts.items()
    facts = {"method": "direct", "circuit_state": "CLOSED", "tx_hash": payment.transaction_hash}
    assert settle.attributes.items() >= facts.items()
    [retry] = [span for span in named(spans, "x402.finalize") if "next_retry_at" in span.attributes]
    assert retry.attributes["billing_entry_id"] == payment.entry_id
    assert retry.attributes["attempt"] == 1
    for span in named(spans, "x402.ledger"):
        assert {"event_type", "posting_count", "balance_after"} <= set(span.attributes)
    assert {span.attributes["correlation_id"] for span in spans if span.name in STAGES} == {payment.correlation_id}


def test_the_resource_says_who_it_was(traced_payment: tuple[Collector, str, str]) -> None:
    collector, trace_id, _ = traced_payment

    for span in collector.of_trace(trace_id):
        assert span.resource["service.name"] == "loa-finn"
        assert span.resource["deployment.environment"] == "test"
        assert span.resource["service.version"]


def test_libraries_below_are_instrumented_in_both_processes(traced_payment: tuple[Collector, str, str]) -> None:
    collector, trace_id, _ = traced_payment
    scopes = {span.scope for span in collector.spans}

    assert {f"opentelemetry.instrumentation.{name}" for name in ("django", "psycopg", "redis", "celery")} <= scopes
    assert any(span.name == "outbound.request" for span in collector.spans)
    servers = {one.span_id for one in collector.spans if one.scope == "opentelemetry.instrumentation.django"}
    for span in named(collector.of_trace(trace_id), "x402.transaction"):
        assert set(span.links) <= servers
        assert span.links, "the server's own span is linked"
