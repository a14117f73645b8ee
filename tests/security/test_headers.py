"""The content security policy and the other headers (plan 13.2)."""

import pytest
from django.test import Client

from loa_site.security.middleware import SECURITY_MIDDLEWARE
from loa_site.security.policy import DIRECTIVES, csp_settings

HEADER = "Content-Security-Policy-Report-Only"


def policy(client: Client) -> dict[str, str]:
    text = client.get("/page")[HEADER]
    return dict(directive.strip().split(" ", 1) for directive in text.split(";"))


def test_the_policy_is_sent_report_only_until_it_is_enforced(client: Client) -> None:
    response = client.get("/page")

    assert "Content-Security-Policy" not in response
    assert HEADER in response


def test_the_policy_says_what_the_plan_wants_to_the_letter(client: Client) -> None:
    directives = policy(client)

    assert directives["default-src"] == "'self'"
    assert directives["script-src"] == "'self'"
    assert directives["style-src"] == "'self'"
    assert directives["object-src"] == "'none'"
    assert directives["base-uri"] == "'none'"
    assert directives["frame-ancestors"] == "'none'"
    assert directives["report-uri"] == "/api/v1/csp-report"
    assert directives["report-to"] == "csp-endpoint"
    assert client.get("/page")[HEADER].endswith("report-uri /api/v1/csp-report; report-to csp-endpoint")
    assert client.get("/page")["Reporting-Endpoints"] == 'csp-endpoint="/api/v1/csp-report"'


def test_no_directive_allows_anything_unsafe_or_foreign() -> None:
    allowed = {source for sources in DIRECTIVES.values() for source in sources if isinstance(sources, list)}

    assert allowed == {"'self'", "'none'", "data:", "'script'", "/api/v1/csp-report"}


def test_enforcing_changes_the_header_and_nothing_else() -> None:
    enforced = csp_settings(enforce=True)
    reported = csp_settings(enforce=False)

    assert list(enforced) == ["CONTENT_SECURITY_POLICY"]
    assert list(reported) == ["CONTENT_SECURITY_POLICY_REPORT_ONLY"]
    assert [*enforced.values()] == [*reported.values()]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Referrer-Policy", "same-origin"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
    ],
)
@pytest.mark.parametrize("path", ["/page", "/nowhere", "/livez"])
def test_every_answer_carries_the_headers(client: Client, path: str, name: str, value: str) -> None:
    assert client.get(path)[name] == value


def test_powerful_features_are_switched_off(client: Client) -> None:
    features = client.get("/page")["Permissions-Policy"]

    assert all(f"{feature}=()" in features for feature in ("camera", "geolocation", "microphone", "payment", "usb"))


def test_api_answers_are_never_stored(client: Client) -> None:
    assert client.get("/api/v1/thing")["Cache-Control"] == "private, no-store"
    assert "Cache-Control" not in client.get("/page")


def test_the_list_for_the_settings_names_what_exists(settings: object) -> None:
    assert set(SECURITY_MIDDLEWARE) <= set(settings.MIDDLEWARE)


def test_trusted_types_are_asked_for_except_where_libraries_write_markup(client: Client) -> None:
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in client.get("/page")[HEADER]
    assert "trusted-types" not in client.get("/admin/x")[HEADER]


@pytest.mark.parametrize("path", ["/account/", "/waitlist/wallet"])
def test_pages_with_a_wallet_may_talk_to_the_window_it_opens(client: Client, path: str) -> None:
    assert client.get(path)["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"


def test_no_page_has_a_nonce_that_a_cache_could_repeat(client: Client) -> None:
    assert "nonce" not in client.get("/page")[HEADER]
