"""Wallets that were let in before everybody is: added and removed in bulk, with a reason, an actor and an end.

Addresses are taken in any letter case, with or without 0x, and kept in one spelling. What is no address is named, not
guessed. Wallets that the settings name (`BETA_BYPASS_ADDRESSES`) are in without a row.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.addresses import canonical_wallet
from accounts.models import AllowlistEntry
from accounts.services import audit
from accounts.services.errors import AccountsError
from telemetry.configuration import loa

BULK_MAX: Final = 1_000  # addresses of one change
REASON_LENGTH_MAX: Final = 500
SHOWN_LENGTH: Final = 60  # of something that is no address, when it is named back


class InvalidChange(AccountsError):
    """Raised when a change of the list cannot be made: no reason, too many addresses, an end in the past."""

    code = "invalid_parameters"


@dataclass(frozen=True, slots=True)
class Changed:
    """What a bulk change did: how many rows it touched, and what in it was no address."""

    count: int
    invalid: tuple[str, ...]


def is_allowed(address: str) -> bool:
    """Whether this wallet is on the list now, by its row or by the settings. False for what is no address."""
    try:
        wallet = canonical_wallet(address)
    except ValueError:
        return False
    return wallet in _bypassing() or live_entries().filter(address=wallet).exists()


def live_entries() -> QuerySet[AllowlistEntry]:
    """Entries that have not ended."""
    return AllowlistEntry.objects.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))


def add(addresses: Iterable[str], *, actor: str, reason: str, expires_at: datetime | None = None) -> Changed:
    """Let these wallets in until `expires_at`; who is in already gets the new reason and end.

    One transaction with its audit event. Raises InvalidChange; nothing is changed then.
    """
    wallets, invalid = _sorted_out(addresses)
    _require_reason(reason)
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidChange("The end lies in the past.")
    with transaction.atomic():
        AllowlistEntry.objects.bulk_create(
            [
                AllowlistEntry(address=wallet, reason=reason, added_by=actor, expires_at=expires_at)
                for wallet in wallets
            ],
            update_conflicts=True,
            unique_fields=["address"],
            update_fields=["reason", "added_by", "expires_at"],
        )
        _record(actor, "allowlist.added", reason=reason, wallets=wallets, expires_at=expires_at)
    return Changed(len(wallets), invalid)


def remove(addresses: Iterable[str], *, actor: str, reason: str) -> Changed:
    """Take these wallets off the list; one that is not on it is no error. Raises InvalidChange."""
    wallets, invalid = _sorted_out(addresses)
    _require_reason(reason)
    with transaction.atomic():
        removed, _ = AllowlistEntry.objects.filter(address__in=wallets).delete()
        _record(actor, "allowlist.removed", reason=reason, wallets=wallets, expires_at=None)
    return Changed(removed, invalid)


def _record(actor: str, action: str, *, reason: str, wallets: list[str], expires_at: datetime | None) -> None:
    facts = {"addresses": wallets, "expires_at": expires_at.isoformat() if expires_at else None}
    audit.record(actor, action=action, subject=wallets[0] if len(wallets) == 1 else "", reason=reason, facts=facts)


def _sorted_out(addresses: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
    """The wallets in one spelling, each once, and what is no address."""
    wallets: dict[str, None] = {}
    invalid: list[str] = []
    for number, address in enumerate(addresses):
        if number >= BULK_MAX:
            raise InvalidChange(f"At most {BULK_MAX} addresses at once.")
        try:
            wallets[canonical_wallet(address.strip())] = None
        except ValueError:
            invalid.append(ascii(address[:SHOWN_LENGTH])[1:-1])
    return sorted(wallets), tuple(invalid)


def _require_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_LENGTH_MAX:
        raise InvalidChange(f"A change needs a reason of at most {REASON_LENGTH_MAX} characters.")


def _bypassing() -> frozenset[str]:
    return frozenset(canonical_wallet(address) for address in loa("BETA_BYPASS_ADDRESSES"))
