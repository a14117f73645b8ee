"""The second factor of staff: a code from an app that holds a secret (RFC 6238) or a security key, and recovery codes.

It is required everywhere but on a developer's machine, where it is offered. A password alone then opens nothing: the
first page after it asks for a code, or lets somebody who has no second factor yet make one. Whoever lost phone and
codes is helped by a person with access to the machine: `manage.py staff_second_factor_reset`.
"""

import secrets
from dataclasses import dataclass
from typing import Final, TypeAlias

import segno
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import SecurityKey
from accounts.services import audit
from telemetry.configuration import loa

APP: Final = "app"
CODES: Final = "recovery codes"
CODE_COUNT: Final = 10
CODE_BYTES: Final = 5
BORDER: Final = 4  # light squares around the code, as its standard asks for
ENVIRONMENTS_OF_ONE_MACHINE: Final = frozenset({"local", "test", "development"})

Device: TypeAlias = TOTPDevice | StaticDevice


@dataclass(frozen=True, slots=True)
class Drawing:
    """A QR code as the path of its dark squares, in a square of `size` units with its quiet border."""

    size: int
    path: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What somebody sees who makes a second factor: the secret in two forms."""

    secret: bytes
    drawing: Drawing


def is_required() -> bool:
    """Whether staff must have one: as the settings say, else outside a developer's machine."""
    chosen = loa("STAFF_SECOND_FACTOR")
    return chosen == "required" if chosen else loa("ENVIRONMENT") not in ENVIRONMENTS_OF_ONE_MACHINE


def is_satisfied(user: User | AnonymousUser) -> bool:
    """Whether a signed-in user may see staff pages as far as the second factor goes."""
    return not is_required() or bool(getattr(user, "is_verified", lambda: False)())


def has_one(user: User) -> bool:
    """Whether a user finished making a second factor: an app or a key."""
    return has_app(user) or SecurityKey.objects.filter(user=user, confirmed=True).exists()


def has_app(user: User) -> bool:
    """Whether a user has an app that shows codes."""
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


def recovery_codes_beside_a_key(user: User) -> list[str]:
    """Ten codes for somebody whose first factor is a key; none when they were given codes before."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        return [] if StaticDevice.objects.filter(user=user).exists() else _new_codes(user)


def begin(user: User) -> Enrolment:
    """The secret of the factor a user is making; the same one until it is confirmed."""
    device, _ = TOTPDevice.objects.get_or_create(user=user, confirmed=False, defaults={"name": APP})
    return Enrolment(secret=device.bin_key, drawing=drawing_of(device.config_url))


def drawing_of(text: str) -> Drawing:
    """A text as a QR code; the page draws it, so that no markup is trusted."""
    rows = segno.make(text, error="m").matrix
    squares = [
        f"M{x + BORDER} {y + BORDER}h1v1h-1z" for y, row in enumerate(rows) for x, is_dark in enumerate(row) if is_dark
    ]
    return Drawing(size=len(rows) + 2 * BORDER, path="".join(squares))


def confirm(user: User, code: str) -> tuple[Device, list[str]] | None:
    """Finish a factor with a code of it; the device and ten recovery codes, or None for a wrong code.

    Locks the unfinished device. An older factor of the user is replaced.
    """
    with transaction.atomic():
        device = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=False).first()
        if device is None or not device.verify_token(code):
            return None
        TOTPDevice.objects.filter(user=user, confirmed=True).delete()
        device.confirmed = True
        device.save(update_fields=["confirmed"])
        codes = _new_codes(user)
        audit.record(user.get_username(), action="staff.second_factor_made", subject=user.get_username())
    return device, codes


def verify(user: User, code: str) -> Device | None:
    """The device whose code this is now, used up by it; None when it is nobody's."""
    for model in (TOTPDevice, StaticDevice):
        with transaction.atomic():
            devices: list[Device] = list(model.objects.select_for_update().filter(user=user, confirmed=True))
            for device in devices:
                if device.verify_token(code):
                    return device
    return None


def remove(user: User, *, by: str, reason: str) -> int:
    """Forget a user's second factor and recovery codes, so that they make a new one; how many devices."""
    with transaction.atomic():
        devices = (TOTPDevice, StaticDevice, SecurityKey)
        count: int = sum(model.objects.filter(user=user).delete()[0] for model in devices)
        audit.record(by, action="staff.second_factor_removed", subject=user.get_username(), reason=reason)
    return count


def _new_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name=CODES, confirmed=True)
    codes = [secrets.token_hex(CODE_BYTES) for _ in range(CODE_COUNT)]
    for code in codes:
        device.token_set.create(token=code)
    return codes
