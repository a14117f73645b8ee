"""Answers kept for honest retries: encrypted, bounded, and released only after `served` is committed (R23)."""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import connection

from telemetry.configuration import loa
from x402.models import Payment, StoredAnswer
from x402.protocol.strict_json import JsonObject, canonical_bytes, parse_object

MAX_BODY_BYTES = 1_048_576
KEPT_HEADERS = ("Content-Type", "Content-Language", "Content-Disposition", "ETag", "Last-Modified")  # never Set-Cookie
FACTS_HEADER = "Loa-Charge-Facts"  # never sent: a view's own words about its charge, for the receipt
NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as the payer gets it. `body` is None when it was too large to keep or is no longer kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


@lru_cache(maxsize=1)
def _cipher() -> AESGCM:
    """AES-256-GCM under the configured key; any string is stretched to 32 bytes by SHA-256."""
    configured = str(loa("ANSWER_ENCRYPTION_KEY"))
    try:
        key = base64.b64decode(configured, validate=True)
    except ValueError:
        key = b""
    return AESGCM(key if len(key) == 32 else hashlib.sha256(configured.encode()).digest())


def store_answer(payment_id: str, *, attempt: int, answer: Answer, facts: JsonObject | None = None) -> None:
    """Keep the answer of this attempt. It is invisible until the same attempt commits `served`; done twice, it is once.

    `facts` say what its charge was made of; they are kept as long as the receipt, the body is not.
    """
    body = answer.body
    encrypted = None
    if body is not None and len(body) <= MAX_BODY_BYTES:
        nonce = secrets.token_bytes(NONCE_BYTES)
        encrypted = nonce + _cipher().encrypt(nonce, body, payment_id.encode())
    kept = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
    if facts:
        kept[FACTS_HEADER] = canonical_bytes(facts).decode()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO x402_storedanswer (payment_id, attempt, status, headers, body_encrypted, created_at)"
            " VALUES (%s, %s, %s, %s, %s, clock_timestamp()) ON CONFLICT (payment_id, attempt) DO NOTHING",
            [payment_id, attempt, answer.status, json.dumps(kept), encrypted],
        )


def facts_of(payment: Payment) -> JsonObject:
    """What the charge of a served payment was made of, as its handler said; empty when it said nothing."""
    stored = StoredAnswer.objects.filter(payment_id=payment.pk, attempt=payment.attempt).values("headers").first()
    written = stored["headers"].get(FACTS_HEADER) if stored else None
    return parse_object(written, max_bytes=MAX_BODY_BYTES) if written else {}


def answer_of(payment: Payment) -> Answer | None:
    """The stored answer of a served payment; None when nothing was stored by the attempt that served it."""
    stored = StoredAnswer.objects.filter(payment_id=payment.pk, attempt=payment.attempt).first()
    if stored is None:
        return None
    body = None
    if stored.body_encrypted is not None:
        sealed = bytes(stored.body_encrypted)
        body = _cipher().decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], payment.pk.encode())
    return Answer(status=stored.status, headers=stored.headers, body=body)


def is_kept(payment: Payment) -> bool:
    """Whether an answer of this attempt is there."""
    return StoredAnswer.objects.filter(payment_id=payment.pk, attempt=payment.attempt).exists()
