"""What leaves the process besides answers (faults.md 79, 80, 90): no secret, no waiting, no lost call."""

import base64
import json
import secrets
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.journeys.live_site import Answer, LiveSite
from tests.telemetry.collector import running_collector
from tests.x402.buyer import Buyer, decoded
from tests.x402.chain_tools import LocalChain
from x402.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.journey]

INVOKE = "/api/v1/x402/invoke"
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


def funded() -> Buyer:
    buyer = Buyer("0x" + secrets.token_hex(32))
    LocalChain(settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0]).mint(buyer.address, 1_000_000)
    return buyer


def header_for(site: LiveSite, buyer: Buyer) -> str:
    unpaid = site.ask("POST", INVOKE, QUESTION)
    return buyer.v2_header(decoded({name.upper(): value for name, value in unpaid.headers.items()}["PAYMENT-REQUIRED"]))


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
            header = header_for(site, buyer)
            answers = [
                site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header}),
                site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header[:-9] + "AAAA"}),
                site.ask("POST", INVOKE, QUESTION, {"Authorization": f"Bearer {key}"}),
                site.ask("GET", f"/api/v1/payments/{mail}", headers={"Cookie": "sessionid=canary-session"}),
                site.ask("POST", "/api/v1/auth/verify", {"message": mail, "signature": "0x" + "ab" * 65}),
                site.ask("GET", "/admin/", headers={"Cookie": "sessionid=canary-session"}),
            ]
            time.sleep(0.5)
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
        answer = site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header_for(site, funded())})
        assert answer.status == 200

    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    documents: list[dict[str, Any]] = [json.loads(line) for line in lines]
    ours = [document for document in documents if str(document.get("logger", "")).startswith(("x402", "billing"))]
    assert ours
    assert all(document["event"] and document["timestamp"] and document["level"] for document in ours)


def test_a_collector_that_is_silent_costs_a_payment_no_time() -> None:
    with running_collector() as collector:
        collector.may_answer.clear()
        variables = {
            "OTEL_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with LiveSite(variables) as site:
            site.ask("POST", INVOKE, QUESTION)
            began = time.monotonic()
            answers = [site.ask("POST", INVOKE, QUESTION) for _ in range(20)]
            elapsed = time.monotonic() - began
            told = site.ask("GET", "/metrics")

    assert {answer.status for answer in answers} == {402}
    assert elapsed < 4, "twenty answers do not wait for a collector that takes ten seconds for one"
    assert told.status == 200


def test_a_server_that_is_asked_to_end_finishes_what_it_began() -> None:
    with LiveSite() as site:
        buyers = [funded() for _ in range(6)]
        headers = [header_for(site, buyer) for buyer in buyers]
        answers: list[Answer | Exception] = []

        def pay(header: str) -> None:
            try:
                answers.append(site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header}))
            except OSError as error:
                answers.append(error)

        threads = [threading.Thread(target=pay, args=(header,)) for header in headers]
        for thread in threads:
            thread.start()
        time.sleep(0.15)
        assert site.process is not None
        site.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(40)
        site.process.wait(40)
        site.process = None
        site.start()
        again = [site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header}) for header in headers]

    assert len(answers) == len(headers)
    assert {answer.status for answer in answers if isinstance(answer, Answer)} <= {200, 503}
    assert [answer.status for answer in again] == [200] * len(headers)
    payers = [buyer.address.lower() for buyer in buyers]
    assert sorted(Payment.objects.filter(payer__in=payers).values_list("state", flat=True)) == ["served"] * len(headers)
