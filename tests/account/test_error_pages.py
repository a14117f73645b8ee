"""Refusals, 400 to 503: a page for people, a problem document for programs, the same status and headers."""

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings

from loa_site.error_pages import USUAL_CODES, ErrorPageMiddleware
from telemetry.problem import problem_response
from telemetry.problem_codes import PROBLEM_CODES

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
STATUSES = sorted(USUAL_CODES)


def refused(response: HttpResponse, *, path: str = "/page", accept: str = HTML["Accept"]) -> HttpResponse:
    """What the middleware makes of a refusal."""

    def answer(_request: HttpRequest) -> HttpResponse:
        return response

    return ErrorPageMiddleware(answer)(RequestFactory().get(path, headers={"Accept": accept}))


@pytest.mark.parametrize("status", STATUSES)
def test_a_refusal_is_a_page_for_people_and_a_document_for_programs(status: int) -> None:
    code = USUAL_CODES[status]

    page = refused(problem_response(code, status, retry_after_seconds=7))
    document = refused(problem_response(code, status), accept="application/json")

    assert (page.status_code, document.status_code) == (status, status)
    assert f'<span class="status">{status}</span>' in page.content.decode()
    assert "7 seconds" in page.content.decode()
    assert page["Retry-After"] == "7"
    assert document["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("status", STATUSES)
def test_a_bare_status_is_a_page_too(status: int) -> None:
    page = refused(HttpResponse(status=status))

    assert PROBLEM_CODES[USUAL_CODES[status]].code in page.content.decode()


def test_an_api_path_never_answers_with_the_page() -> None:
    answer = refused(problem_response("rate_limited", retry_after_seconds=3), path="/api/v1/payments")

    assert answer["Content-Type"] == "application/problem+json"


def test_a_page_that_says_more_itself_is_left_alone() -> None:
    own = HttpResponse("<p>Pay here", status=402)

    assert refused(own) is own


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nowhere", 404), ("/docs/guide/nothing", 404), ("/admin/nowhere/", 302), ("/problems/x", 404)],
)
def test_pages_that_do_not_exist_say_so(client: Client, db: None, path: str, status: int) -> None:
    assert client.get(path, headers=HTML).status_code == status


def test_a_method_that_is_not_allowed_names_those_that_are(client: Client, db: None) -> None:
    answer = client.put("/waitlist/", headers=HTML)

    assert answer.status_code == 405
    assert set(answer["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert b"<!DOCTYPE html>" in answer.content


@override_settings(ALLOWED_HOSTS=["pay.example"])
def test_a_foreign_host_is_refused_with_a_page(client: Client) -> None:
    answer = client.get("/", headers={**HTML, "Host": "evil.example"})

    assert answer.status_code == 400
    assert b"evil.example" not in answer.content


def test_files_for_robots_and_finders_of_weaknesses_are_there(client: Client) -> None:
    robots, security = client.get("/robots.txt"), client.get("/.well-known/security.txt")

    assert "Disallow: /account/" in robots.content.decode()
    assert all(name in security.content.decode() for name in ("Contact: http", "Expires: 20", "Canonical: http"))
