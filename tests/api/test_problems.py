"""How everything that goes wrong is told: documents to programs, pages to people."""

import json

import pytest
from django.db import connections
from django.test import Client, RequestFactory

from inference.selectors.catalogue import forget_snapshot
from loa_site import problems
from telemetry.problem_codes import PROBLEM_CODES

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def client():
    return Client(raise_request_exception=False)


def test_an_unknown_api_path_is_a_problem_document(client):
    response = client.get("/api/v1/nowhere", headers=BROWSER)

    body = response.json()
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert (body["code"], body["status"], body["type"]) == ("not_found", 404, "http://testserver/problems/not-found")
    assert body["correlation_id"].startswith("req_")


def test_an_unknown_page_is_a_page_for_people_and_a_document_for_programs(client):
    page = client.get("/nowhere", headers=BROWSER)
    document = client.get("/nowhere", headers={"Accept": "application/json"})

    assert (page.status_code, page["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"<h1>" in page.content
    assert (document.status_code, document["Content-Type"]) == (404, "application/problem+json")


def test_a_failure_of_ours_says_nothing_of_its_cause():
    request = RequestFactory().get("/api/v1/models")

    response = problems.server_error(request)

    body = json.loads(response.content)
    assert (response.status_code, body["code"]) == (500, "internal_error")
    assert "Traceback" not in response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_cannot_be_reached_is_503_with_a_time_to_try_again(client, monkeypatch):
    out_of_reach = connections["default"].settings_dict | {"HOST": "127.0.0.1", "PORT": "1", "OPTIONS": {}}
    connections.close_all()
    monkeypatch.setattr(connections["default"], "settings_dict", out_of_reach)
    forget_snapshot()

    response = client.get("/api/v1/models")

    assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
    assert response["Retry-After"] == "5"


def test_a_missing_csrf_token_is_told_as_such():
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x"}, headers=BROWSER)

    assert response.status_code == 403
    assert b"<h1>" in response.content


@pytest.mark.parametrize("known", PROBLEM_CODES.values(), ids=lambda known: known.code)
def test_every_code_has_a_page(client, known):
    response = client.get(f"/problems/{known.slug}")

    assert response.status_code == 200
    assert known.code.encode() in response.content


def test_all_codes_are_listed_on_one_page(client):
    content = client.get("/problems/").content.decode()

    assert all(f"/problems/{known.slug}" in content for known in PROBLEM_CODES.values())


def test_a_reason_of_the_specification_has_a_page_and_an_invention_has_none(client):
    assert client.get("/problems/invalid-exact-evm-payload-signature").status_code == 200
    assert client.get("/problems/my-own-words").status_code == 404


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("body", [b"{", b"[1,2", b'{"message": NaN}', b'{"a":1,"a":2}', b"\xff\xfe", b"[" * 5_000])
def test_json_that_cannot_be_read_is_400(client, body):
    response = client.post("/api/v1/auth/verify", body, content_type="application/json")

    assert (response.status_code, response.json()["code"]) == (400, "invalid_json")


@pytest.mark.django_db(transaction=True)
def test_another_media_type_is_415(client):
    response = client.post("/api/v1/auth/verify", b"<a/>", content_type="application/xml")

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_another_method_is_405_and_names_those_allowed(client):
    response = client.delete("/api/v1/models")

    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in response["Allow"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/api/v1/auth/verify", "/api/v1/x402/quote", "/api/v1/x402/invoke"])
def test_a_body_above_the_limit_is_413(client, path):
    body = json.dumps({"prompt": "x" * 1_000_000})

    response = client.post(path, body, content_type="application/json")

    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


def test_a_body_that_breaks_its_media_types_promise_is_400_with_a_page(client):
    headers = {"Idempotency-Key": "k" * 20}

    response = client.post("/api/v1/credits/purchase", b"x", content_type="multipart/form-data", headers=headers)

    assert (response.status_code, response.json()["code"]) == (400, "invalid_body")
    assert client.get("/problems/invalid-body").status_code == 200
