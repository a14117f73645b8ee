"""The correlation id: one word that joins a request, its payment, its journals and its log lines.

It lives in a context variable, so that threads and tasks do not see each other's. It is the quote's id from the moment
one exists; before that, and where no quote is involved, it is a fresh `req_` id of the request.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from telemetry.identifiers import new_id

_correlation_id: ContextVar[str] = ContextVar("loa_correlation_id", default="")

ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")  # what a client may ask us to write into logs and rows


def correlation_id() -> str:
    """The current correlation id, or the empty string outside any request or task."""
    return _correlation_id.get()


def bind_correlation_id(value: str) -> None:
    """Make `value` the correlation id of the rest of this request or task, of its logs and of its open spans."""
    _correlation_id.set(value)


@contextmanager
def correlated(value: str = "") -> Iterator[str]:
    """Run a block under `value`, or under a fresh request id, and give the former one back afterwards."""
    chosen = value if ACCEPTABLE.fullmatch(value) else new_id("req")
    token = _correlation_id.set(chosen)
    try:
        yield chosen
    finally:
        _correlation_id.reset(token)
