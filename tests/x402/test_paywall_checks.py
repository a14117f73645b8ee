"""The system checks of a project that charges: each fault has its number and says what to do."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import CheckMessage
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from pytest_django.fixtures import Settings
from rest_framework.decorators import api_view

from x402 import checks
from x402.paywall import requires_payment

MIDDLEWARE = "x402.middleware.PaywallMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"


def ids(check: Callable[..., list[CheckMessage]]) -> list[str | None]:
    found = check(None)
    assert all(message.hint for message in found)
    return [message.id for message in found]


@requires_payment(price="$0.01")
def outside(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@api_view(["GET"])
@requires_payment(price="$0.01")
def inside_out(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def someone_elses(request: HttpRequest, anything: str) -> HttpResponse:
    return HttpResponse()


def urlconf(*patterns: Any) -> Any:
    """A URLconf that is a class, since Django takes any object with `urlpatterns`."""
    return type("Urls", (), {"urlpatterns": list(patterns)})


def test_a_project_that_is_set_up_has_nothing_to_hear(settings: Settings) -> None:
    settings.ROOT_URLCONF = urlconf(path("", include("x402.urls")), path("outside", outside))
    settings.DATABASES["default"]["ATOMIC_REQUESTS"] = True
    try:
        found = [ids(check) for check in (checks.check_urls, checks.check_database, checks.check_settlement)]
    finally:
        settings.DATABASES["default"]["ATOMIC_REQUESTS"] = False

    assert found == [[], [], []]


def test_a_paid_view_inside_the_requests_transaction_is_named(settings: Settings) -> None:
    settings.ROOT_URLCONF = urlconf(path("", include("x402.urls")), path("inside-out", inside_out))
    settings.DATABASES["default"]["ATOMIC_REQUESTS"] = True
    try:
        found = checks.check_urls(None)
    finally:
        settings.DATABASES["default"]["ATOMIC_REQUESTS"] = False

    assert [message.id for message in found] == ["x402.E016"]
    assert "'inside-out'" in found[0].msg


def test_upto_without_a_relayer_of_our_own_is_named(settings: Settings) -> None:
    metered = requires_payment(price="$0.01", scheme="upto")(outside.__wrapped__)
    settings.ROOT_URLCONF = urlconf(path("", include("x402.urls")), path("metered", metered))
    settings.LOA = settings.LOA | {"RELAYER_PRIVATE_KEY": "", "FACILITATOR_URL": "https://facilitator.example"}

    found = checks.check_urls(None)

    assert [message.id for message in found] == ["x402.E017"]
    assert "'metered'" in found[0].msg


def test_a_project_that_mounts_nothing_is_reminded(settings: Settings) -> None:
    settings.ROOT_URLCONF = urlconf(path("outside", outside))

    assert ids(checks.check_urls) == ["x402.W001"]


def test_an_address_of_ours_that_somebody_else_answers_is_named(settings: Settings) -> None:
    settings.ROOT_URLCONF = urlconf(path("api/<path:anything>", someone_elses), path("", include("x402.urls")))

    found = checks.check_urls(None)

    assert [message.id for message in found] == ["x402.E015"]
    assert "api/<path:anything>" in found[0].msg


@pytest.mark.parametrize(
    "paths",
    [
        {"reports": {}},
        {"reports": {"price": "one cent"}},
        {"reports": {"price": 0}},
        {"reports": {"price": "$0.01", "cost": 3}},
        {"reports": {"price": "$0.01", "on_crash": "again"}},
        {"reports": "$0.01"},
        {"/reports": {"price": "$0.01"}},
        {"reports/<nothing:name>": {"price": "$0.01"}},
    ],
)
def test_an_entry_of_paid_paths_that_means_nothing_is_named(settings: Settings, paths: dict[str, Any]) -> None:
    settings.LOA = settings.LOA | {"PAID_PATHS": paths}
    settings.MIDDLEWARE = [MIDDLEWARE, CSRF]

    assert ids(checks.check_paid_paths) == ["x402.E012"]


@pytest.mark.parametrize(
    ("middleware", "found"),
    [([CSRF], ["x402.E013"]), ([CSRF, MIDDLEWARE], ["x402.E014"]), ([MIDDLEWARE, CSRF], [])],
)
def test_the_middleware_that_charges_is_there_and_in_its_place(
    settings: Settings, middleware: list[str], found: list[str]
) -> None:
    settings.LOA = settings.LOA | {"PAID_PATHS": {"reports": {"price": "$0.01"}}}
    settings.MIDDLEWARE = middleware

    assert ids(checks.check_paid_paths) == found


def test_a_database_without_the_ledgers_sql_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")

    assert ids(checks.check_database) == ["x402.E010"]


def test_a_project_that_cannot_settle_is_refused(settings: Settings) -> None:
    settings.LOA = settings.LOA | {"RELAYER_PRIVATE_KEY": "", "FACILITATOR_URL": ""}

    assert ids(checks.check_settlement) == ["x402.E011"]


def test_a_missing_correlation_middleware_is_said(settings: Settings) -> None:
    settings.MIDDLEWARE = [CSRF]

    assert ids(checks.check_correlation) == ["x402.W002"]


def test_a_deployment_that_lives_on_one_secret_is_told_so(settings: Settings) -> None:
    settings.LOA = settings.LOA | {"QUOTE_KEYS": {}, "API_KEY_PEPPER": ""}

    [warning] = checks.check_own_keys(None)

    assert warning.id == "x402.W003"
    assert "QUOTE_KEYS, API_KEY_PEPPER" in warning.msg


def test_the_official_sdk_beside_us_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    found = tmp_path / "x402-2.25.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: x402\nVersion: 2.25.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert ids(checks.check_package_name) == ["x402.E009"]


def test_every_number_has_its_row_in_the_reference() -> None:
    from pathlib import Path

    source = Path(checks.__file__).read_text()
    page = (Path(checks.__file__).parent.parent / "docs" / "reference" / "checks.md").read_text()
    numbers = {word for word in source.replace('"', " ").split() if word.startswith(("x402.E0", "x402.W0"))}

    assert sorted(number for number in numbers if f"`{number}`" not in page) == []
