"""Security keys and passkeys of staff (WebAuthn, level 2): a second factor that a copied page cannot ask for.

The browser signs our challenge together with the origin it is on, so that a code typed into somebody else's page has
no counterpart here. A challenge is a nonce of ours: bound to the person, to the browser's session and to what it is
for, good for some minutes, and used up by its first right answer. What is kept of a key is its public half and the
count of its signatures, which may only rise.

Browsers give keys to names, never to IP addresses: a site that is opened by one offers none, and codes work as ever.
"""

import hashlib
import ipaddress
import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import webauthn
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from accounts.models import SecurityKey
from accounts.services import audit, nonces
from telemetry.configuration import loa

KEYS_MAX: Final = 10
ANSWER_LENGTH_MAX: Final = 16_384
SITE_NAME: Final = "Loa staff"
TO_ADD: Final = "add"
TO_SIGN_IN: Final = "sign-in"
_UNREADABLE: Final = (WebAuthnException, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


class SecurityKeyRefused(Exception):
    """Raised when a key's answer does not hold, or a key is not added or removed; `detail` may be shown."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a challenge is for: a member of staff in one session of a browser."""

    user: User
    session: str

    def purpose(self, act: str) -> str:
        """What its nonce is issued for."""
        return f"security-key:{act}:{self.user.pk}:{self.session}"


def are_offered() -> bool:
    """Whether browsers give keys to this site: it has a name, and is opened over TLS or on this machine."""
    origin = urlsplit(loa("PUBLIC_ORIGIN"))
    name = origin.hostname or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and (origin.scheme == "https" or name == "localhost")
    return False


def keys_of(user: User) -> list[SecurityKey]:
    """The keys of a member of staff, oldest first."""
    return list(SecurityKey.objects.filter(user=user, confirmed=True))


def options_to_add(asked: Asked) -> str:
    """What the browser needs to make a key for this person: JSON with a challenge."""
    options = webauthn.generate_registration_options(
        rp_id=_site_id(),
        rp_name=SITE_NAME,
        user_id=hashlib.sha256(f"staff:{asked.user.pk}".encode()).digest(),
        user_name=asked.user.get_username(),
        challenge=nonces.issue(asked.purpose(TO_ADD)).encode(),
        exclude_credentials=_descriptors(asked.user),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED, user_verification=UserVerificationRequirement.PREFERRED
        ),
    )
    return str(webauthn.options_to_json(options))


def options_to_sign_in(asked: Asked) -> str:
    """What the browser needs to sign with one of this person's keys: JSON with a challenge."""
    options = webauthn.generate_authentication_options(
        rp_id=_site_id(),
        challenge=nonces.issue(asked.purpose(TO_SIGN_IN)).encode(),
        allow_credentials=_descriptors(asked.user),
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return str(webauthn.options_to_json(options))


def add(asked: Asked, answer: str, *, name: str) -> SecurityKey:
    """Keep the key that answered a challenge of ours.

    Raises SecurityKeyRefused. Uses the challenge up; writes an audit event with the row.
    """
    credential = _registration_in(answer)
    nonce = _nonce_in(credential.response.client_data_json, asked.purpose(TO_ADD))
    try:
        proven = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=nonce.encode(),
            expected_rp_id=_site_id(),
            expected_origin=loa("PUBLIC_ORIGIN"),
        )
    except _UNREADABLE as error:
        raise SecurityKeyRefused("That key's answer does not hold. Ask it again.") from error
    try:
        with transaction.atomic():
            User.objects.select_for_update().get(pk=asked.user.pk)
            if SecurityKey.objects.filter(user=asked.user).count() >= KEYS_MAX:
                raise SecurityKeyRefused(f"You have {KEYS_MAX} keys. Remove one first.")
            _use_up(nonce)
            key = SecurityKey.objects.create(
                user=asked.user,
                name=name,
                credential_id=bytes_to_base64url(proven.credential_id),
                public_key=proven.credential_public_key,
                sign_count=proven.sign_count,
                transports=[one.value for one in credential.response.transports or []],
            )
            _write_down(asked.user, "staff.security_key_added", key)
    except IntegrityError as error:
        raise SecurityKeyRefused("That key is known already.") from error
    return key


def verify(asked: Asked, answer: str) -> SecurityKey:
    """The key of this person that signed a challenge of ours. Raises SecurityKeyRefused.

    Locks the key's row, uses the challenge up, and keeps the new count of signatures: an answer holds once.
    """
    credential = _assertion_in(answer)
    nonce = _nonce_in(credential.response.client_data_json, asked.purpose(TO_SIGN_IN))
    with transaction.atomic():
        key = SecurityKey.objects.select_for_update().filter(user=asked.user, credential_id=credential.id).first()
        if key is None:
            raise SecurityKeyRefused("That key is not one of yours.")
        try:
            proven = webauthn.verify_authentication_response(
                credential=credential,
                expected_challenge=nonce.encode(),
                expected_rp_id=_site_id(),
                expected_origin=loa("PUBLIC_ORIGIN"),
                credential_public_key=bytes(key.public_key),
                credential_current_sign_count=key.sign_count,
            )
        except _UNREADABLE as error:
            raise SecurityKeyRefused("That key's answer does not hold. Ask it again.") from error
        _use_up(nonce)
        key.sign_count, key.used_at = proven.new_sign_count, timezone.now()
        key.save(update_fields=["sign_count", "used_at"])
    return key


def remove(user: User, key_id: int, *, keeps_one: bool) -> None:
    """Forget a key of this person, and write that down. Raises SecurityKeyRefused.

    With `keeps_one` the last key stays: without it a password alone would open the page that makes a new factor.
    """
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        keys = SecurityKey.objects.filter(user=user)
        key = keys.filter(pk=key_id).first()
        if key is None:
            raise SecurityKeyRefused("There is no such key.")
        if keeps_one and keys.count() == 1:
            raise SecurityKeyRefused("It is your only second factor. Add another key first.")
        _write_down(user, "staff.security_key_removed", key)
        key.delete()


def _site_id() -> str:
    """The name to which browsers bind a key: the host of this site."""
    return urlsplit(loa("PUBLIC_ORIGIN")).hostname or ""


def _descriptors(user: User) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(
            id=base64url_to_bytes(key.credential_id),
            transports=[AuthenticatorTransport(one) for one in key.transports],
        )
        for key in keys_of(user)
    ]


def _registration_in(answer: str) -> RegistrationCredential:
    try:
        return parse_registration_credential_json(_bounded(answer))
    except _UNREADABLE as error:
        raise SecurityKeyRefused("That is no answer of a key.") from error


def _assertion_in(answer: str) -> AuthenticationCredential:
    try:
        return parse_authentication_credential_json(_bounded(answer))
    except _UNREADABLE as error:
        raise SecurityKeyRefused("That is no answer of a key.") from error


def _bounded(answer: str) -> str:
    """An answer short enough to be one, and no deeper than one is. Raises ValueError."""
    if len(answer) > ANSWER_LENGTH_MAX:
        raise ValueError("the answer is too long")
    try:
        json.loads(answer)
    except RecursionError as error:
        raise ValueError("the answer is too deep") from error
    return answer


def _nonce_in(client_data: bytes, purpose: str) -> str:
    """The challenge that was signed, if it is ours, for this purpose, and young. Raises SecurityKeyRefused."""
    try:
        nonce = parse_client_data_json(client_data).challenge.decode("ascii")
    except (*_UNREADABLE, RecursionError) as error:
        raise SecurityKeyRefused("That is no answer of a key.") from error
    if not nonces.is_ours(nonce, purpose):
        raise SecurityKeyRefused("That answer is for another question, or too old. Load the page again.")
    return nonce


def _use_up(nonce: str) -> None:
    if not nonces.consume(nonce):
        raise SecurityKeyRefused("That answer was used already.")


def _write_down(user: User, action: str, key: SecurityKey) -> None:
    facts = {"name": key.name, "credential": key.credential_id[:16]}
    audit.record(user.get_username(), action=action, subject=user.get_username(), facts=facts)
