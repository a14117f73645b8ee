"""What a person reads before recovery ends: what is missing, as far as anything outside can tell.

The ledger itself can say which anchored heads are gone. What only the chain knows is reported by the apps above, which
name a reporter by its dotted path. A reporter gives its facts, what still forbids an end, and how it can be put right;
matching is done by the same app, and may be repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db import connection
from django.utils.module_loading import import_string

from billing.services.anchored_heads import missing_heads, newest_outside


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the report. `obstacles` are sentences: as long as there is one, recovery may not end."""

    facts: Mapping[str, Any]
    lines: tuple[str, ...]
    obstacles: tuple[str, ...] = field(default=())


class Reporter(Protocol):
    """What an app adds: look, and put right what can be put right from evidence alone."""

    def report(self) -> Part: ...

    def match(self) -> Part: ...


_reporters: dict[str, str] = {}


def add_reporter(name: str, path: str) -> None:
    """Let the report include what the reporter at a dotted path finds; the same name again replaces it."""
    _reporters[name] = path


def report() -> dict[str, Part]:
    """Everything that is known to be missing; changes nothing. Raises what a reporter raises."""
    return {"ledger": _of_ledger()} | {name: _reporter(path).report() for name, path in sorted(_reporters.items())}


def match() -> dict[str, Part]:
    """Put right what evidence allows, then report again. Safe to repeat."""
    return {"ledger": _of_ledger()} | {name: _reporter(path).match() for name, path in sorted(_reporters.items())}


def _reporter(path: str) -> Reporter:
    reporter: Reporter = import_string(path)
    return reporter


def _of_ledger() -> Part:
    with connection.cursor() as cursor:
        missing = missing_heads(cursor)
        cursor.execute("SELECT sum(s.sequence)::bigint FROM billing.stream s")
        (journals,) = cursor.fetchone()
    anchor = newest_outside()
    anchored = anchor["content"]["journal_count"] if anchor else None
    lines = [f"The ledger has {journals} journals; the newest anchor outside saw {anchored}."]
    lines += [f"Stream {stream}: journal {sequence}, which an anchor saw, is gone." for stream, sequence in missing]
    facts = {"journals": journals, "anchored_journals": anchored, "missing_heads": missing}
    return Part(facts, tuple(lines))
