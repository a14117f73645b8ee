"""Keys that clients choose for their requests: `Idempotency-Key`, and the protocol's `payment-identifier`.

Kept only as hashes: whoever holds the key of a first request may have its answer (R1).
"""

import hashlib

from django.http import HttpRequest

from x402.protocol.errors import MalformedPayment
from x402.protocol.payment_identifier import IDENTIFIER


def idempotency_key_of(request: HttpRequest) -> str:
    """The hash of the request's idempotency key, or the empty string. Raises MalformedPayment for an unusable one."""
    key = request.headers.get("Idempotency-Key")
    return "" if key is None else hash_of(key)


def hash_of(key: object) -> str:
    """SHA-256 in hex of a well-formed key. Raises MalformedPayment(invalid_idempotency_key)."""
    if not isinstance(key, str) or not IDENTIFIER.fullmatch(key):
        raise MalformedPayment("invalid_idempotency_key", "A key has 16 to 128 letters, digits, '-' or '_'.")
    return hashlib.sha256(key.encode("ascii")).hexdigest()
