"""Telling a stranger's server something, so that it can be sure who spoke: Standard Webhooks over the guarded client.

The signed text is `<id>.<unix seconds>.<body>`, by HMAC-SHA-256; while a secret is being replaced, a message carries
the signatures of both. A receiver checks the signature over the raw body, and that the time is within five minutes.
Only HTTPS, except to hosts that the settings trust. A redirect is an answer like any other and is not followed.

Source: Standard Webhooks 1.0.0.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outbound.address_filter import UrlRefused, target_of
from outbound.errors import OutboundError
from outbound.http import OutboundRequest, is_trusted, send

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
KEY_PREFIX: Final = "whsec_"
VERSION: Final = "v1"
TOLERANCE_SECONDS: Final = 300
TIMEOUT_SECONDS: Final = 10.0  # a receiver should take a message first and work on it afterwards
ANSWER_BYTES_MAX: Final = 64 * 1024  # the answer's body means nothing


class EndpointRefused(ValueError):
    """Raised when a URL is not one that messages are sent to."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. `timestamp` is the moment of this try, in Unix seconds."""

    id: str
    timestamp: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a try. `status` is None when there was no answer."""

    status: int | None
    error: str = ""

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver says that it wants to hear nothing any more."""
        return self.status == 410


def require_url(url: str) -> None:
    """Refuse a URL before it is stored. Its host's addresses are judged again at each try. Raises EndpointRefused."""
    try:
        target = target_of(url)
    except UrlRefused as error:
        raise EndpointRefused(str(error)) from error
    if not url.lower().startswith("https://") and not is_trusted(target):
        raise EndpointRefused("The URL must begin with https://.")


def secret_of(key: str, *, endpoint_id: str, version: int) -> str:
    """An endpoint's secret in the form receivers are given. Computed, so that no table holds it."""
    if not key:
        raise EndpointRefused("LOA_WEBHOOK_KEY is not set: messages could not be signed.")
    digest = hmac.new(key.encode(), f"webhook:{endpoint_id}:{version}".encode(), hashlib.sha256).digest()
    return KEY_PREFIX + base64.b64encode(digest).decode()


def signature_of(message: Message, secret: str) -> str:
    """One signature, with its version."""
    key = base64.b64decode(secret.removeprefix(KEY_PREFIX))
    signed = b".".join((message.id.encode(), str(message.timestamp).encode(), message.body))
    return f"{VERSION},{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def is_authentic(headers: Mapping[str, str], body: bytes, *, secret: str, now: int) -> bool:
    """The receiver's side: whether a message was signed with `secret` and is of this moment."""
    try:
        message = Message(headers[ID_HEADER], int(headers[TIMESTAMP_HEADER]), body)
        expected = signature_of(message, secret).encode()
        given = headers.get(SIGNATURE_HEADER, "").encode().split(b" ")
    except (KeyError, ValueError):  # also what is raised for halves of surrogate pairs, which UTF-8 cannot say
        return False
    is_recent = abs(now - message.timestamp) <= TOLERANCE_SECONDS
    return is_recent and any(hmac.compare_digest(expected, one) for one in given)


def deliver(message: Message, *, url: str, secrets: Sequence[str]) -> Outcome:
    """Send a message once; every failure is an outcome, none is raised."""
    headers = {
        "Content-Type": "application/json",
        ID_HEADER: message.id,
        TIMESTAMP_HEADER: str(message.timestamp),
        SIGNATURE_HEADER: " ".join(signature_of(message, secret) for secret in secrets),
    }
    try:
        require_url(url)
        answer = send(
            OutboundRequest(
                "POST",
                url,
                headers=headers,
                body=message.body,
                purpose="webhook",
                read_timeout_seconds=TIMEOUT_SECONDS,
                total_timeout_seconds=TIMEOUT_SECONDS,
                response_bytes_max=ANSWER_BYTES_MAX,
            )
        )
    except (EndpointRefused, OutboundError) as error:
        return Outcome(None, f"{type(error).__name__}: {error}")
    return Outcome(answer.status, "" if 200 <= answer.status < 300 else f"answered {answer.status}")
