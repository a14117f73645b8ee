"""What a part of the proof says: how much it looked at, and the first row that is wrong."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db.backends.utils import CursorWrapper


@dataclass(frozen=True, slots=True)
class Finding:
    """The first bad row of a check: which check, where, and what is wrong, in words for a person."""

    check: str
    where: str
    detail: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's outcome; `finding` is None when it holds."""

    check: str
    row_count: int
    finding: Finding | None


Check = Callable[[CursorWrapper], CheckResult]
