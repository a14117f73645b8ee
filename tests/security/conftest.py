"""The site reduced to probes, reports and one page."""

import pytest
from pytest_django.fixtures import Settings


@pytest.fixture(autouse=True)
def _small_site(settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.security.urls"
    settings.LOA = {**settings.LOA, "RATE_LIMITS": {"csp_report": 1_000_000}}
