"""The lines that this process really logs, as the one handler would write them."""

import logging
from collections.abc import Iterator

import pytest

from telemetry.logging import json_formatter


class Lines(logging.Handler):
    """Keeps formatted lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(json_formatter())
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    def take(self) -> list[str]:
        """The lines since the last time."""
        taken, self.texts = self.texts, []
        return taken


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
