"""The report endpoint, to the letter of plan 13.2 and against hostile reports (faults.md 70, 72)."""

import json
import secrets
import time
from io import BytesIO
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pytest_django.fixtures import Settings
from structlog.testing import capture_logs

from loa_site.models import PolicyReport
from loa_site.security import report_groups
from loa_site.security.csp_report import KNOWN_DIRECTIVES
from loa_site.security.csp_reports import InvalidReport, violations_of

OLD = {
    "csp-report": {
        "document-uri": "https://pay.example/page?token=secret#part",
        "violated-directive": "script-src 'self'",
        "blocked-uri": "https://evil.example/x.js?key=1",
    }
}
NEW = [
    {
        "type": "csp-violation",
        "age": 1,
        "url": "https://pay.example/",
        "body": {
            "documentURL": "https://pay.example/page",
            "effectiveDirective": "style-src-attr",
            "blockedURL": "inline",
            "disposition": "report",
        },
    }
]


pytestmark = pytest.mark.django_db


def report(client: Client, document: object, media_type: str = "application/csp-report") -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return client.generic("POST", "/api/v1/csp-report", body, content_type=media_type, CONTENT_TYPE=media_type)


def padded(size: int) -> bytes:
    body = json.dumps({**OLD, "padding": ""}).encode()
    return body.replace(b'"padding": ""', b'"padding": "' + b"x" * (size - len(body)) + b'"')


def test_a_report_is_one_event_with_three_facts_and_no_content(client: Client) -> None:
    with capture_logs() as events:
        answer = report(client, OLD)

    assert (answer.status_code, answer.content) == (204, b"")
    assert events == [
        {
            "event": "csp.violation",
            "metric": "csp.violation",
            "document_uri": "https://pay.example/page",
            "violated_directive": "script-src 'self'",
            "blocked_uri": "https://evil.example/x.js",
            "log_level": "warning",
        }
    ]


def test_the_reporting_api_is_understood_too(client: Client) -> None:
    with capture_logs() as events:
        answer = report(client, NEW, "application/reports+json; charset=utf-8")

    assert answer.status_code == 204
    [event] = events
    assert (event["document_uri"], event["violated_directive"], event["blocked_uri"]) == (
        "https://pay.example/page",
        "style-src-attr",
        "inline",
    )


def test_reports_of_other_kinds_are_taken_and_not_logged(client: Client) -> None:
    with capture_logs() as events:
        answer = report(client, [{"type": "deprecation", "body": {}}], "application/reports+json")

    assert (answer.status_code, events) == (204, [])


def test_ten_kilobytes_are_taken_and_one_byte_more_is_not(client: Client) -> None:
    assert report(client, padded(10_240)).status_code == 204
    refused = report(client, padded(10_241))

    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")


def test_the_length_is_counted_in_bytes(client: Client) -> None:
    body = json.dumps({**OLD, "x": "€" * 5_000}, ensure_ascii=False).encode()

    assert report(client, body).status_code == 413


def test_an_announced_length_beyond_the_limit_is_refused_unread(client: Client) -> None:
    announced = {
        "CONTENT_LENGTH": "9" * 20,
        "CONTENT_TYPE": "application/csp-report",
        "wsgi.input": BytesIO(b"{}"),
    }
    answer = client.generic("POST", "/api/v1/csp-report", **announced)

    assert answer.status_code == 413


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "text/html", ""])
def test_another_media_type_is_refused(client: Client, media_type: str) -> None:
    answer = report(client, OLD, media_type)

    assert (answer.status_code, answer["Content-Type"]) == (415, "application/problem+json")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"null",
        b"7",
        b"{}",
        b'{"csp-report": []}',
        b'{"csp-report": {}}',
        b'{"csp-report": {"document-uri": 7}}',
        b'["x"]',
        b'[{"type": "csp-violation"}]',
        b"\xff\xfe",
        b"[" * 10_000,
    ],
)
def test_what_is_no_report_is_refused(client: Client, body: bytes) -> None:
    with capture_logs() as events:
        answer = report(client, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_csp_report")
    assert events == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_post_reports(client: Client, method: str) -> None:
    answer = client.generic(method, "/api/v1/csp-report")

    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_control_characters_stay_on_their_line(client: Client) -> None:
    hostile = {"csp-report": {"document-uri": "https://a/\r\nlevel=critical\x1b[31m", "violated-directive": "x\ny"}}

    with capture_logs() as events:
        report(client, hostile)

    [event] = events
    texts = [value for value in event.values() if isinstance(value, str)]
    assert all(text.isprintable() and text.isascii() for text in texts)
    assert event["violated_directive"] == "x\\ny"


def test_user_parts_and_inline_content_are_not_logged() -> None:
    facts = {"document-uri": "https://u:p@a.example/x", "blocked-uri": "data:text/html,secret"}

    [violation] = violations_of(json.dumps({"csp-report": facts}).encode())

    assert (violation.document_uri, violation.blocked_uri) == ("https://a.example/x", "data")


def test_a_flood_of_invented_directives_makes_one_series(client: Client) -> None:
    for number in range(50):
        report(client, {"csp-report": {"violated-directive": f"invented-{number}"}})

    series = {
        sample.labels["directive"]
        for metric in REGISTRY.collect()
        if metric.name == "csp_violations"
        for sample in metric.samples
    }
    assert series <= KNOWN_DIRECTIVES | {"other"}


def test_one_post_logs_twenty_violations_at_most(client: Client) -> None:
    one = {"type": "csp-violation", "body": {"blockedURL": "inline"}}

    with capture_logs() as events:
        assert report(client, [one] * 100, "application/reports+json").status_code == 204

    assert len(events) == 20


def test_a_client_that_reports_without_end_is_slowed(client: Client, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "RATE_LIMITS": {"csp_report": 3}, "REDIS_URL": "", "ENVIRONMENT": "csp-flood"}

    answers = [report(client, OLD) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [204, 204, 204, 429]
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60


EXTENSION = {"csp-report": {"document-uri": "https://x.example/", "violated-directive": "script-src-elem"}}


@pytest.mark.parametrize("field", ["blocked-uri", "source-file"])
def test_what_an_extension_of_the_browser_causes_is_counted_and_left_out(client: Client, field: str) -> None:
    noisy = {"csp-report": EXTENSION["csp-report"] | {field: "moz-extension://0a1b/content.js"}}
    kept = PolicyReport.objects.count()

    with capture_logs() as lines:
        answer = report(client, noisy)

    assert (answer.status_code, lines) == (204, [])
    assert PolicyReport.objects.count() == kept


def test_reports_of_one_kind_are_one_row_with_a_count_for_staff(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_groups, "SECONDS_BETWEEN_WRITES", 0)
    page = f"https://x.example/{secrets.token_hex(4)}"
    one = {
        "csp-report": {"document-uri": page, "violated-directive": "img-src", "blocked-uri": "https://evil.example/a"}
    }

    for _ in range(5):
        report(client, one)

    row = PolicyReport.objects.get(document_uri=page)
    assert (row.report_count, row.violated_directive) == (5, "img-src")


def test_a_flood_writes_a_row_a_second_and_logs_a_sample(client: Client) -> None:
    page = f"https://x.example/{secrets.token_hex(4)}"
    one = {"document-uri": page, "violated-directive": "img-src", "blocked-uri": "inline"}

    with capture_logs() as lines, CaptureQueriesContext(connection) as queries:
        started = time.monotonic()
        for _ in range(500):
            assert report(client, {"csp-report": one}).status_code == 204
        seconds = 1 + int(time.monotonic() - started)

    assert len([line for line in lines if line["event"] == "csp.violation"]) <= 50 * (seconds + 1)
    assert len([query for query in queries if "loa_site_policyreport" in query["sql"]]) <= 4 * (seconds + 1)
    assert PolicyReport.objects.filter(document_uri=page).count() == 1


def test_invented_pages_cannot_fill_the_table(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_groups, "GROUPS_MAX", PolicyReport.objects.count() + 3)

    for number in range(20):
        facts = {"document-uri": f"https://x.example/{secrets.token_hex(4)}/{number}", "violated-directive": "img-src"}
        report(client, {"csp-report": facts})

    assert PolicyReport.objects.count() <= report_groups.GROUPS_MAX + 1
    assert PolicyReport.objects.get(violated_directive="other").report_count >= 17


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_reports_are_answered_and_cost_little(client: Client) -> None:
    page = f"https://x.example/{secrets.token_hex(4)}"
    one = {"csp-report": {"document-uri": page, "violated-directive": "img-src", "blocked-uri": "inline"}}

    with capture_logs() as lines:
        statuses = {report(client, one).status_code for _ in range(10_000)}

    assert statuses == {204}
    assert len(lines) < 10_000
    assert PolicyReport.objects.filter(document_uri=page).count() == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["csp-report", "type", "body", "document-uri"]) | st.text(), inner)
    ),
)


@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(json_values | st.binary())
def test_whatever_is_posted_is_read_or_refused(document: object) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    try:
        violations = violations_of(body)
    except InvalidReport:
        return
    for violation in violations:
        texts = (violation.document_uri, violation.violated_directive, violation.blocked_uri)
        assert all(text.isprintable() and text.isascii() and len(text) <= 512 for text in texts)
