"""RFC 9457 problems and the registry of codes."""

import json
import re

import pytest
from pytest_django.fixtures import Settings

from telemetry.correlation import correlated
from telemetry.problem import problem_response
from telemetry.problem_codes import PROBLEM_CODES


def test_a_problem_says_what_went_wrong_and_what_to_do(settings: Settings) -> None:
    settings.LOA = {"PUBLIC_ORIGIN": "https://pay.example"}

    with correlated("quo_7"):
        response = problem_response("settlement_unknown", payment_id="pay_1", retry_after_seconds=2)

    assert response.status_code == 503
    assert response["Content-Type"] == "application/problem+json"
    assert response["Retry-After"] == "2"
    assert response["Cache-Control"] == "private, no-store"
    body = json.loads(response.content)
    assert body["type"] == "https://pay.example/problems/settlement-unknown"
    assert (body["code"], body["status"], body["payment_id"]) == ("settlement_unknown", 503, "pay_1")
    assert body["correlation_id"] == "quo_7"
    assert "same payload" in body["next_step"]


def test_facts_cannot_replace_the_standard_members() -> None:
    body = json.loads(problem_response("not_found", title="mine", type="evil", extra=1).content)

    assert body["title"] == "There is nothing here"
    assert body["type"].endswith("/problems/not-found")
    assert body["extra"] == 1


def test_a_401_names_its_scheme() -> None:
    assert problem_response("invalid_session")["WWW-Authenticate"] == 'Bearer realm="loa"'


def test_a_reason_of_the_x402_specification_stands_for_itself() -> None:
    body = json.loads(problem_response("invalid_exact_evm_payload_signature", 402, "High s.").content)

    assert (body["status"], body["detail"]) == (402, "High s.")
    assert body["next_step"].startswith("Sign the terms")


@pytest.mark.parametrize("code", sorted(PROBLEM_CODES))
def test_every_code_is_snake_case_with_a_client_or_server_status_and_a_next_step(code: str) -> None:
    known = PROBLEM_CODES[code]

    assert re.fullmatch(r"[a-z][a-z0-9_]+", code)
    assert 400 <= known.status <= 599
    assert known.title
    assert known.next_step.endswith(".")
    assert known.slug == code.replace("_", "-")


def test_402_is_about_money_and_401_about_identity_only() -> None:
    about_identity = {code for code, known in PROBLEM_CODES.items() if known.status == 401}

    assert about_identity == {
        "authentication_required",
        "invalid_api_key",
        "invalid_session",
        "invalid_sign_in",
        "invalid_wallet_proof",
    }
