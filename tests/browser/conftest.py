"""The browser tests' fixtures. Without a Chromium nothing is run, and the end of the output says so and why."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.admin import policy
from tests.browser import chromium
from tests.browser.chromium import Chromium
from tests.browser.report import report


def pytest_configure(config: pytest.Config) -> None:
    report.listen(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything in this folder is marked `browser`."""
    for item in items:
        if "/tests/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A suite that could not run is never mistaken for one that passed."""
    if chromium.missing():
        terminalreporter.write_line(f"browser tests not run: {chromium.missing()}; {chromium.HOW_TO_GET_IT}")


@pytest.fixture(autouse=True)
def _policy_is_enforced() -> Iterator[None]:
    with policy.enforced():
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """A running Chromium. Where there is none, the test is skipped; under CI=true it fails."""
    reason = chromium.missing()
    if reason:
        message = f"not run: {reason}; {chromium.HOW_TO_GET_IT}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    running = Chromium()
    yield running
    running.stop()
