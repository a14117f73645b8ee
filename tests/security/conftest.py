"""The site reduced to probes, reports and one page; each test is a process that has heard no report yet."""

import pytest
from pytest_django.fixtures import Settings

from loa_site.security import report_groups


@pytest.fixture(autouse=True)
def _small_site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROOT_URLCONF = "tests.security.urls"
    settings.LOA = {**settings.LOA, "RATE_LIMITS": {"csp_report": 1_000_000}}
    monkeypatch.setattr(report_groups, "_gathered", report_groups._Gathered())
