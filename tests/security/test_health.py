"""Probes: alive without asking anyone, ready by parts, metrics for insiders (faults.md 10, 83)."""

import threading
from functools import partial

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from loa_site.health import parts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _ask_anew() -> None:
    parts.forget()


def test_a_live_process_answers_without_asking_anyone(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for name, (_, is_required) in list(parts.PARTS.items()):
        monkeypatch.setitem(parts.PARTS, name, (partial(asked.append, name), is_required))

    assert client.get("/livez").json() == {"status": "ok"}
    assert client.get("/healthz").json()["status"] == "ok"
    assert asked == []


def test_the_service_is_ready_with_all_its_parts(client: Client) -> None:
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ready", "parts": {"database": "ok", "ledger": "ok", "rpc": "ok", "recovery": "ok", "redis": "ok"}},
    )


def test_without_a_node_the_service_is_not_ready(client: Client, settings: Settings) -> None:
    network = {**settings.LOA["NETWORKS"]["eip155:84532"], "rpc_urls": ["http://127.0.0.1:1"]}
    settings.LOA = {**settings.LOA, "NETWORKS": {"eip155:84532": network}}

    answer = client.get("/readyz")

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json()["parts"]["rpc"] == "failed"
    assert client.get("/livez").status_code == 200
    assert client.get("/health").json()["status"] == "unhealthy"


def test_a_node_of_another_chain_does_not_count(client: Client, settings: Settings) -> None:
    network = settings.LOA["NETWORKS"]["eip155:84532"]
    settings.LOA = {**settings.LOA, "DEFAULT_NETWORK": "eip155:1", "NETWORKS": {"eip155:1": network}}

    assert client.get("/readyz").json()["parts"]["rpc"] == "failed"


def test_without_redis_the_service_is_ready(client: Client, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": "redis://127.0.0.1:1/0"}

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["parts"]["redis"]) == (200, "failed")
    assert client.get("/health").json()["status"] == "degraded"


def test_a_redis_that_nobody_configured_is_absent(client: Client, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": ""}

    assert client.get("/readyz").json()["parts"]["redis"] == "absent"
    assert client.get("/health").json()["status"] == "healthy"


def test_a_part_that_hangs_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    freed = threading.Event()
    answered_first: list[bool] = []
    monkeypatch.setattr(parts, "QUESTION_SECONDS", 0.2)
    monkeypatch.setitem(parts.PARTS, "ledger", (lambda: answered_first.append(freed.wait(60)), True))

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["parts"]["ledger"]) == (503, "failed")
    assert answered_first == []  # it still hangs
    freed.set()


def test_a_flood_of_probes_is_one_question(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(parts, "KEPT_SECONDS", 3_600)
    monkeypatch.setitem(parts.PARTS, "ledger", (lambda: asked.append(1), True))

    for _ in range(20):
        client.get("/readyz")

    assert len(asked) == 1


def test_health_tells_insiders_about_the_queue(client: Client, settings: Settings) -> None:
    inside = client.get("/health").json()
    assert inside["settlement_circuit"] in ("closed", "open", "half_open")
    assert inside["billing"]["dlq_store_type"] == "postgres"

    settings.LOA = {**settings.LOA, "METRICS_TOKEN": "metrics-token-1"}
    assert "billing" not in client.get("/health").json()


def test_errors_of_parts_are_for_insiders(client: Client, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": "redis://127.0.0.1:1/0"}
    assert client.get("/health/deps").json()["checks"]["redis"]["error"] == "ConnectionError"

    settings.LOA = {**settings.LOA, "METRICS_TOKEN": "metrics-token-1"}
    assert "error" not in client.get("/health/deps").json()["checks"]["redis"]


def test_metrics_are_for_the_allowed_networks(client: Client) -> None:
    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert b'settlement_circuit_state{state="closed"}' in answer.content
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.5").status_code == 401
    assert client.get("/metrics", REMOTE_ADDR="::1").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="nonsense").status_code == 401


def test_with_a_token_only_the_token_opens_the_metrics(client: Client, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "METRICS_TOKEN": "metrics-token-1"}

    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer métrics"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer metrics-token-1"}).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/health", "/health/deps", "/metrics"])
def test_probes_only_answer_reading_and_are_not_stored(client: Client, path: str) -> None:
    assert client.get(path)["Cache-Control"] == "private, no-store"
    assert client.post(path).status_code == 405
