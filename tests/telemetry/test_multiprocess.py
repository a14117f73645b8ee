"""Metrics of several processes (faults.md 81, 82, 83): counters rise, gauges end with their process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client
from prometheus_client import REGISTRY

from telemetry import multiprocess, names
from telemetry.metrics import bounded
from tests.journeys.live_site import ROOT, LiveSite

WRITE = """
import django
django.setup()
from outbound.breaker_state import settlement_breaker
from x402.metrics import QUOTES
from billing.metrics import DEAD_LETTERS_PENDING
QUOTES.inc(2)
DEAD_LETTERS_PENDING.labels(queue="finalize").set(7)
"""
READ = """
import django
django.setup()
from prometheus_client import generate_latest
from telemetry import multiprocess
multiprocess.prune_dead()
print(generate_latest(multiprocess.registry()).decode())
"""


def in_a_process(code: str, folder: Path) -> str:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return answer.stdout


@pytest.mark.slow
def test_counters_outlive_their_process_live_gauges_do_not_and_one_state_is_one(tmp_path: Path) -> None:
    in_a_process(WRITE, tmp_path)
    in_a_process(WRITE, tmp_path)

    told = in_a_process(READ, tmp_path)

    assert "x402_quotes_total 4.0" in told
    assert 'billing_dlq_pending{queue="finalize"}' not in told
    lines = [line for line in told.splitlines() if line.startswith("settlement_circuit_state{")]
    assert sorted(line.rpartition(" ")[2] for line in lines) == ["0.0", "0.0", "1.0"]
    assert 'settlement_circuit_state{state="closed"} 1.0' in lines


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_web_server_tells_what_all_its_workers_counted(tmp_path: Path) -> None:
    token = "metrics-token-of-the-tests"
    variables = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "LOA_METRICS_TOKEN": token}
    with LiveSite(variables) as site:
        asked = [site.ask("POST", "/api/v1/x402/invoke", {"model": "loa-demo", "prompt": "hi"}) for _ in range(5)]
        stranger = site.ask("GET", "/metrics")
        told = site.ask("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})

    assert {answer.status for answer in asked} == {402}
    assert stranger.status == 401
    assert b"x402_quotes_total 5.0" in told.body
    for name in (names.SETTLEMENT_CIRCUIT_STATE, "django_http_responses_total_by_status_total"):
        assert name.encode() in told.body


def test_without_a_folder_each_process_counts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)

    assert multiprocess.registry() is REGISTRY
    assert multiprocess.prune_dead() == 0


@pytest.mark.django_db(transaction=True)
def test_a_hundred_thousand_strange_values_make_no_series(client: Client) -> None:
    def series() -> int:
        return sum(len(metric.samples) for metric in REGISTRY.collect())

    for path in ("/api/v1/x402/invoke", "/nowhere"):
        client.get(path)
    before = series()

    assert {bounded(f"value-{number}", {"known"}) for number in range(100_000)} == {"other"}
    for number in range(50):
        client.get(f"/nowhere/{number}", headers={"traceparent": f"00-{number:032x}-{number:016x}-01"})
        client.post(f"/api/v1/x402/invoke?x={number}", {"model": f"m{number}"}, content_type="application/json")

    assert series() - before < 60


@pytest.mark.django_db
def test_health_details_are_closed_to_strangers(client: Client, settings: LazySettings) -> None:
    settings.LOA = {**settings.LOA, "METRICS_TOKEN": "t" * 32, "REDIS_URL": "redis://127.0.0.1:1/0"}

    assert client.get("/metrics").status_code == 401
    assert "error" not in client.get("/health/deps").content.decode()
    assert "billing" not in client.get("/health").json()
