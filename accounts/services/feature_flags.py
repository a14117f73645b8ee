"""Switches for what the site offers: on, off, on for some. Every change has an actor and a reason, and is audited.

A flag that nobody set is off, and a name that is not in `FLAGS` does not exist: a misspelt switch must not switch
nothing in silence. A flag that is on for a percentage is on for the same subjects every time, and for more of them when
the percentage grows. Each process reads the flags at most once a second, so a change holds everywhere within that.
"""

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db import transaction

from accounts.models import FeatureFlag
from accounts.services import audit
from accounts.services.errors import AccountsError

FLAGS: Final[Mapping[str, str]] = {
    "billing": "Anything that is paid for, by whatever means.",
    "credits": "Buying prepaid credits.",
    "nft": "NFT detection and agents.",
    "onboarding": "The onboarding wizard.",
    "x402": "Paying by signed x402 authorizations.",
}
SNAPSHOT_SECONDS: Final = 1.0
SUBJECTS_MAX: Final = 1_000
SUBJECT_LENGTH_MAX: Final = 64
REASON_LENGTH_MAX: Final = 500


class UnknownFlag(AccountsError):
    """Raised when a flag is named that does not exist."""

    code = "unknown_flag"


class InvalidFlag(AccountsError):
    """Raised when a flag cannot be set so: no reason, a percentage outside 0 to 100, too many subjects."""

    code = "invalid_parameters"


@dataclass(frozen=True, slots=True)
class Setting:
    """How a flag is to be. `subjects` are wallets or account ids."""

    is_enabled: bool
    percentage: int = 100
    subjects: Sequence[str] = ()


class _Snapshot:
    """The flags as last read, shared by the threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._flags: dict[str, Setting] = {}

    def flags(self) -> dict[str, Setting]:
        """All flags by name. One thread reads anew while the others wait."""
        with self._lock:
            if time.monotonic() - self._read_at >= SNAPSHOT_SECONDS:
                self._flags = {
                    row.name: Setting(row.is_enabled, row.percentage, tuple(row.subjects))
                    for row in FeatureFlag.objects.all()
                }
                self._read_at = time.monotonic()
            return self._flags

    def forget(self) -> None:
        with self._lock:
            self._read_at = float("-inf")


_snapshot = _Snapshot()
forget_snapshot = _snapshot.forget


def is_enabled(name: str, *, subject: str = "") -> bool:
    """Whether a feature is on for this wallet or account; without a subject, whether it is on for everybody.

    Raises UnknownFlag.
    """
    _require_known(name)
    setting = _snapshot.flags().get(name)
    if setting is None or not setting.is_enabled:
        return False
    if subject.lower() in {one.lower() for one in setting.subjects} and subject:
        return True
    return setting.percentage > _share_of(name, subject) if subject else setting.percentage == 100


def set_flag(name: str, setting: Setting, *, actor: str, reason: str) -> FeatureFlag:
    """Set a flag and write down who did it and why; the audit event is part of the same transaction.

    Locks the flag's row. Raises UnknownFlag and InvalidFlag; nothing is changed then.
    """
    _require_known(name)
    _require_sound(setting, reason=reason)
    with transaction.atomic():
        row, _ = FeatureFlag.objects.select_for_update().get_or_create(name=name)
        before = _facts(row)
        row.is_enabled, row.percentage = setting.is_enabled, setting.percentage
        row.subjects, row.reason, row.changed_by = list(setting.subjects), reason, actor
        audit.record(
            actor,
            action="feature_flag.changed",
            subject=name,
            reason=reason,
            facts={"before": before, "after": _facts(row)},
        )
        row.save()
        transaction.on_commit(forget_snapshot)
    return row


def all_flags() -> list[FeatureFlag]:
    """Every flag that exists, by name; one that nobody set is off. Reads the rows, not the snapshot."""
    rows = {row.name: row for row in FeatureFlag.objects.all()}
    return [rows.get(name) or FeatureFlag(name=name) for name in sorted(FLAGS)]


def _share_of(name: str, subject: str) -> int:
    """Which of a hundred shares a subject falls into, another one for each flag."""
    digest = hashlib.sha256(f"{name}\n{subject.lower()}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100


def _facts(row: FeatureFlag) -> dict[str, object]:
    return {"is_enabled": row.is_enabled, "percentage": row.percentage, "subjects": list(row.subjects)}


def _require_known(name: str) -> None:
    if name not in FLAGS:
        raise UnknownFlag(f"There is no such flag. Known: {', '.join(sorted(FLAGS))}.")


def _require_sound(setting: Setting, *, reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_LENGTH_MAX:
        raise InvalidFlag(f"A change needs a reason of at most {REASON_LENGTH_MAX} characters.")
    if not 0 <= setting.percentage <= 100:
        raise InvalidFlag("The percentage is from 0 to 100.")
    if len(setting.subjects) > SUBJECTS_MAX or any(not 0 < len(one) <= SUBJECT_LENGTH_MAX for one in setting.subjects):
        raise InvalidFlag(f"At most {SUBJECTS_MAX} subjects, each a wallet or an account id.")
