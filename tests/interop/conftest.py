"""The foreign clients and the site they pay; both come from the runner, `python -m tests.interop`."""

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop import environments
from tests.interop.counting_upstream import RUNS_FILE
from tests.interop.environments import Client

SITE_FILE = "INTEROP_SITE"
FIGURES_FILE = "INTEROP_FIGURES"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "interop: published clients that no one here wrote pay the running site")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the runner there is no site and there are no clients; the reason says what brings them."""
    if os.environ.get(SITE_FILE):
        return
    for item in items:
        if item.get_closest_marker("interop"):
            item.add_marker(pytest.mark.skip(reason="needs the foreign clients: run `make interop`"))


@pytest.fixture(scope="session")
def run() -> dict[str, Any]:
    """What the running site's run.json says."""
    document: dict[str, Any] = json.loads(Path(os.environ[SITE_FILE]).read_text())
    return document


@pytest.fixture(scope="session")
def installed() -> dict[str, Client]:
    """The five clients by name."""
    return {client.name: client for client in environments.clients()}


@pytest.fixture
def prompt() -> str:
    """A prompt no other test uses, so that its runs can be counted."""
    return f"Say hello to {secrets.token_hex(8)}"


@pytest.fixture
def handler_runs() -> Callable[[str], int]:
    """How often the paid work ran for a prompt."""

    def count(prompt: str) -> int:
        path = Path(os.environ[RUNS_FILE])
        return sum(line.strip() == prompt for line in path.read_text().splitlines()) if path.exists() else 0

    return count


@pytest.fixture
def record() -> Callable[[str, Any], None]:
    """Write a figure down for the report."""
    path = Path(os.environ[FIGURES_FILE])

    def write(name: str, value: Any) -> None:
        figures = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(figures | {name: value}))

    return write


@pytest.fixture
def decoded() -> Callable[[str], dict[str, Any]]:
    """A payment header as its JSON."""

    def decode(header: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(base64.b64decode(header))
        return document

    return decode
