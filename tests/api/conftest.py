"""What the tests of the API share."""

import pytest

from telemetry.configuration import DEFAULT_RATE_LIMITS

ROOMY = 1_000_000  # tests that are not about limits never meet one


@pytest.fixture(autouse=True)
def _roomy_limits(settings):
    settings.LOA = settings.LOA | {"RATE_LIMITS": dict.fromkeys(DEFAULT_RATE_LIMITS, ROOMY)}
