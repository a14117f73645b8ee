"""What leaves the process besides answers (faults.md 79, 80, 90): no secret, no waiting, no lost call."""

import base64
import contextlib
import http.client
import json
import secrets
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billing.selectors.reports import conservation
from tests.journeys.live_site import Answer, LiveSite
from tests.journeys.paying import INVOKE, funded, header_for
from tests.telemetry.collector import running_collector
from x402.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.journey]

CLIENTS, PAYING = 200, 12
QUESTION = {"model": "loa-demo", "prompt": "canary-prompt-7f3a", "max_tokens": 64}


def canaries() -> dict[str, str]:
    """A secret for every variable that holds one, each to be found nowhere."""
    return {
        "SECRET_KEY": "canary-django-" + secrets.token_hex(24),
        "LOA_QUOTE_KEYS": "c1:" + secrets.token_hex(32),
        "LOA_QUOTE_KEY_ACTIVE": "c1",
        "LOA_ANSWER_ENCRYPTION_KEY": secrets.token_hex(32),
        "LOA_API_KEY_PEPPER": secrets.token_hex(32),
        "LOA_METRICS_TOKEN": "canary-metrics-" + secrets.token_hex(16),
    }


def wait_for(is_there: Callable[[], bool]) -> None:
    """Poll for an effect; half a minute is for a machine that is busy."""
    deadline = time.monotonic() + 30
    while not is_there():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_no_secret_stands_in_a_log_line_a_span_or_an_error(tmp_path: Path) -> None:
    planted = canaries()
    log, mail, key = tmp_path / "web.log", "canary.person@example.org", "dk_live_" + "c4n4ry" * 6
    with running_collector() as collector:
        tracing = {
            "OTEL_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with LiveSite(planted | tracing, log=log) as site:
            buyer = funded()
            header = header_for(site, buyer, QUESTION)
            answers = [
                site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header}),
                site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header[:-9] + "AAAA"}),
                site.ask("POST", INVOKE, QUESTION, {"Authorization": f"Bearer {key}"}),
                site.ask("GET", f"/api/v1/payments/{mail}", headers={"Cookie": "sessionid=canary-session"}),
                site.ask("POST", "/api/v1/auth/verify", {"message": mail, "signature": "0x" + "ab" * 65}),
                site.ask("GET", "/admin/", headers={"Cookie": "sessionid=canary-session"}),
            ]
            wait_for(lambda: any(span.name == "x402.transaction" for span in collector.spans))
        spans = "\n".join(repr(span) for span in collector.spans)

    assert answers[0].status == 200
    everything = log.read_text() + spans + "".join(str(answer.body) for answer in answers[1:])
    signature = json.loads(base64.b64decode(header))["payload"]["signature"]
    hidden = [*planted.values(), key, signature[2:], "canary-session", QUESTION["prompt"], mail]
    hidden += [planted["LOA_QUOTE_KEYS"].partition(":")[2], header]
    assert [word for word in map(str, hidden) if len(word) > 4 and word in everything] == []
    assert collector.spans


def test_every_line_of_the_server_is_one_json_object_with_its_ids(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    with LiveSite(log=log) as site:
        answer = site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header_for(site, funded(), QUESTION)})
        assert answer.status == 200

    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    documents: list[dict[str, Any]] = [json.loads(line) for line in lines]
    ours = [document for document in documents if str(document.get("logger", "")).startswith(("x402", "billing"))]
    assert ours
    assert all(document["event"] and document["timestamp"] and document["level"] for document in ours)


def seconds_for(site: LiveSite, requests: int) -> float:
    began = time.monotonic()
    assert {site.ask("POST", INVOKE, QUESTION).status for _ in range(requests)} == {402}
    return time.monotonic() - began


def test_a_collector_that_is_silent_costs_a_payment_no_time() -> None:
    with running_collector() as collector:
        variables = {
            "OTEL_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with LiveSite(variables) as site:
            seconds_for(site, 20)
            rounds = []
            for _ in range(3):
                collector.may_answer.set()
                well = seconds_for(site, 20)
                collector.may_answer.clear()
                rounds.append(seconds_for(site, 20) / well)
            told = site.ask("GET", "/metrics")
            collector.may_answer.set()

    assert min(rounds) < 1.5, "an answer does not wait for a collector that takes ten seconds for one"
    assert told.status == 200


def paying_in_threads(site: LiveSite, headers: list[str]) -> tuple[list[threading.Thread], list[Answer | Exception]]:
    """Every header sent at once, each from a client of its own; what they were told, as it arrives."""
    answers: list[Answer | Exception] = []

    def pay(header: str) -> None:
        try:
            answers.append(site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header}))
        except (OSError, http.client.HTTPException) as error:
            answers.append(error)

    threads = [threading.Thread(target=pay, args=(header,)) for header in headers]
    for thread in threads:
        thread.start()
    return threads, answers


def asking_in_threads(site: LiveSite, clients: int, ended: threading.Event) -> list[threading.Thread]:
    """Clients that ask for the price again and again, until they are told to end or the server is gone."""

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            while not ended.is_set():
                site.ask("POST", INVOKE, QUESTION)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    return threads


def test_a_server_that_is_asked_to_end_under_two_hundred_clients_finishes_what_it_began() -> None:
    ended = threading.Event()
    with LiveSite() as site:
        buyers = [funded() for _ in range(PAYING)]
        headers = [header_for(site, buyer, QUESTION) for buyer in buyers]
        payers = [buyer.address.lower() for buyer in buyers]
        crowd = asking_in_threads(site, CLIENTS - PAYING, ended)
        threads, answers = paying_in_threads(site, headers)
        wait_for(lambda: Payment.objects.filter(payer__in=payers).exists())
        assert site.process is not None
        site.process.send_signal(signal.SIGTERM)
        asked_at = time.monotonic()
        site.process.wait(60)
        took = time.monotonic() - asked_at
        ended.set()
        for thread in (*threads, *crowd):
            thread.join(40)
        site.process = None
        site.start()
        again = [site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header}) for header in headers]

    assert took < 40, "thirty seconds for what is in flight, and the time to end"
    assert len(answers) == len(headers)
    assert {answer.status for answer in answers if isinstance(answer, Answer)} <= {200, 503}
    assert [answer.status for answer in again] == [200] * len(headers)
    paid = Payment.objects.filter(payer__in=payers)
    assert sorted(paid.values_list("state", flat=True)) == ["served"] * len(headers)
    assert conservation().is_conserved
