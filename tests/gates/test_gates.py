"""`/api/v1/gates/N` and `manage.py gate_check`: evidence while things work, the right criterion when one is broken."""

import json
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from pytest_django.fixtures import Settings

from billing.models import DeadLetter
from billing.services import dead_letters
from inference.selectors import catalogue
from loa_site.gates import criteria
from loa_site.gates.outcome import FAIL, PASS
from loa_site.health import parts
from outbound.breaker_state import settlement_breaker
from outbound.redis_scripts import redis_client
from telemetry.configuration import loa, redis_key
from telemetry.identifiers import new_id
from tests.x402.buyer import Buyer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]

TOKEN = "gate-token-of-the-tests"
CHAT = {"model": "loa-demo", "prompt": "Say hello", "max_tokens": 8}


@pytest.fixture(autouse=True)
def _ask_anew() -> None:
    parts.forget()
    catalogue.forget_snapshot()


@pytest.fixture
def status_of() -> Callable[[str], str]:
    """The verdict on one criterion, asked alone."""

    def ask(name: str) -> str:
        [criterion] = [one for one in criteria.CRITERIA if one.name == name]
        return criteria._result_of(criterion).status

    return ask


@pytest.fixture
def detail_of() -> Callable[[str], str]:
    """What was found instead, empty when the criterion holds."""

    def ask(name: str) -> str:
        [criterion] = [one for one in criteria.CRITERIA if one.name == name]
        return criteria._result_of(criterion).detail

    return ask


def test_a_gate_tells_strangers_nothing(client: Client, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "METRICS_TOKEN": TOKEN}

    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Bearer {TOKEN}x"}):
        answer = client.get("/api/v1/gates/0", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "authentication_required")
    assert client.get("/api/v1/gates/0", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_gate_one_passes_on_the_running_services_with_evidence(client: Client) -> None:
    document = client.get("/api/v1/gates/1").json()

    assert (document["gate"], document["gate_name"], document["overall"]) == (1, "Ignition", PASS)
    assert (document["passed"], document["failed"]) == (4, 0)
    assert [check["name"] for check in document["checks"]] == [
        "Service is ready",
        "Billing state machine responds",
        "Quote generation works",
        "Conservation guard healthy",
    ]
    by_name = {check["name"]: check["evidence"] for check in document["checks"]}
    assert by_name["Billing state machine responds"]["answered"] == "insufficient_funds"
    assert by_name["Quote generation works"]["network"] == "eip155:84532"


def test_lines_are_for_the_shell(client: Client) -> None:
    answer = client.get("/api/v1/gates/0", headers={"accept": "text/plain"})

    assert answer.content.decode() == "PASS\tService is ready\t\n"


@pytest.mark.parametrize("address", ["/api/v1/gates/5", "/api/v1/gates/x", "/api/v1/gates/99999999999999999999"])
def test_there_is_no_other_gate(client: Client, address: str) -> None:
    assert client.get(address).status_code == 404


def test_a_purchase_is_offered_at_the_price_of_its_pack(status_of: Callable[[str], str]) -> None:
    assert status_of("Credit purchase works") == PASS


def test_without_a_node_gate_zero_fails_and_names_the_part(client: Client, settings: Settings) -> None:
    network = {**settings.LOA["NETWORKS"]["eip155:84532"], "rpc_urls": ["http://127.0.0.1:1"]}
    settings.LOA = {**settings.LOA, "NETWORKS": {"eip155:84532": network}}

    document = client.get("/api/v1/gates/0").json()

    assert document["overall"] == FAIL
    assert "rpc" in document["checks"][0]["detail"]


def test_without_a_model_no_quote_is_made(status_of: Callable[[str], str], settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "DEFAULT_MODEL": "no-such-model"}

    assert status_of("Quote generation works") == FAIL


def test_an_open_circuit_is_the_condition_of_an_alarm(detail_of: Callable[[str], str]) -> None:
    assert "settlement_circuit=OPEN" not in detail_of("No alarm condition holds")

    for _ in range(3):
        settlement_breaker.failed(settlement_breaker.admit())

    try:
        assert "settlement_circuit=OPEN" in detail_of("No alarm condition holds")
    finally:
        client = redis_client()
        assert client is not None
        client.delete(redis_key(f"circuit:{loa('ENVIRONMENT')}:settlement"))


def test_more_dead_letters_than_the_alarm_allows_fail_the_gate(detail_of: Callable[[str], str]) -> None:
    before = DeadLetter.objects.filter(state="pending").count()

    with transaction.atomic():
        for _ in range(11):
            dead_letters.enqueue(queue="finalize", subject_id=new_id("pay"), reason="wrong_state", payload={})
        found = detail_of("No alarm condition holds")
        transaction.set_rollback(True)

    assert f"dead_letters_pending={before + 11}" in found


@pytest.mark.slow
def test_a_payment_of_today_is_the_evidence_of_the_flow(buyer: Buyer, status_of: Callable[[str], str]) -> None:
    before = status_of("x402 payment flow operational")

    response = buyer.buy("/api/v1/x402/invoke", CHAT)

    assert response.status_code == 200, response.content
    assert status_of("x402 payment flow operational") == PASS
    assert before in (PASS, FAIL)


def test_routing_needs_two_models_and_an_upstream_for_each(
    status_of: Callable[[str], str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_of("Multi-model routing works") == PASS

    elsewhere = {"class": "inference.demo.upstream.DemoUpstream"}
    settings.LOA = {**settings.LOA, "UPSTREAMS": {"elsewhere": elsewhere}}
    monkeypatch.setattr(catalogue, "SNAPSHOT_SECONDS", 0.0)

    assert status_of("Multi-model routing works") == FAIL


def test_a_probe_that_breaks_fails_its_criterion_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, object]:
        raise ZeroDivisionError

    [first, *others] = [one for one in criteria.CRITERIA if one.gate <= 1]
    replaced = [criteria.Criterion(first.gate, first.name, broken), *others]
    monkeypatch.setattr(criteria, "CRITERIA", tuple(replaced))

    report = criteria.evaluate(1)

    assert [check.name for check in report.failed] == ["Service is ready"]
    assert report.failed[0].detail == "The probe broke: ZeroDivisionError."


def test_an_app_that_is_not_installed_fails_its_criterion() -> None:
    probe = criteria.probes.elsewhere("nowhere.to.be.found")

    result = criteria._result_of(criteria.Criterion(2, "elsewhere", probe))

    assert (result.status, "not installed" in result.detail) == (FAIL, True)


def test_the_command_prints_the_same_and_its_exit_code_is_the_verdict(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    call_command("gate_check", "0", "--json")
    assert json.loads(capsys.readouterr().out)["overall"] == PASS

    settings.LOA = {**settings.LOA, "DEFAULT_MODEL": "no-such-model"}
    with pytest.raises(SystemExit) as left:
        call_command("gate_check", "1")

    assert left.value.code == 1
    assert "[FAIL] Quote generation works" in capsys.readouterr().out
