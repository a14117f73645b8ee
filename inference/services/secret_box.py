"""Sealing secrets that are not ours before they are stored, and opening them when they are used.

`LOA["OWN_KEY_ENCRYPTION"]` says where the sealing key is: 64 hex digits in the setting itself, `file:/path` (a file
that holds them), or `kms:KEY-ID-OR-ARN` (a symmetric key that never leaves AWS KMS). What is sealed is bound to its
owner and place (`context`): copied into another row it does not open. Messages never repeat a secret or a key.
"""

import hashlib
import re
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from inference.domain.errors import InferenceError
from outbound import aws_kms
from telemetry.configuration import loa

FILE: Final = "file:"
KMS: Final = "kms:"
NONCE_BYTES: Final = 12
LOCAL: Final = b"\1"  # the first byte says how the rest was sealed, so that keys can move into KMS one by one
BY_KMS: Final = b"\2"
_HEX_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")


class BoxUnusable(InferenceError):
    """Raised when secrets cannot be sealed or opened: no key is configured, or another than they were sealed by."""

    code = "secret_box_unusable"


def seal(secret: str, *, context: str) -> bytes:
    """The secret, sealed for this context. Raises BoxUnusable, KmsUnavailable."""
    reference = loa("OWN_KEY_ENCRYPTION")
    if reference.startswith(KMS):
        return BY_KMS + aws_kms.encrypt(reference.removeprefix(KMS), secret.encode(), context=_kms_context(context))
    nonce = secrets.token_bytes(NONCE_BYTES)
    return LOCAL + nonce + _cipher(reference).encrypt(nonce, secret.encode(), context.encode())


def unseal(sealed: bytes, *, context: str) -> str:
    """What was sealed. Raises BoxUnusable, KmsUnavailable."""
    kind, rest = sealed[:1], sealed[1:]
    reference = loa("OWN_KEY_ENCRYPTION")
    if kind == BY_KMS:
        return aws_kms.decrypt(reference.removeprefix(KMS), rest, context=_kms_context(context)).decode()
    try:
        opened = _cipher(reference).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], context.encode())
    except InvalidTag:
        raise BoxUnusable("this was sealed by another key, or for another place") from None
    return opened.decode()


def _cipher(reference: str) -> AESGCM:
    key = reference
    if reference.startswith(FILE):
        try:
            key = Path(reference.removeprefix(FILE)).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            raise BoxUnusable("the file of LOA['OWN_KEY_ENCRYPTION'] cannot be read") from None
    if not _HEX_KEY.fullmatch(key):
        raise BoxUnusable("LOA['OWN_KEY_ENCRYPTION'] leads to no key of 64 hex digits")
    return AESGCM(hashlib.sha256(b"loa/own-keys/1" + bytes.fromhex(key)).digest())


def _kms_context(context: str) -> dict[str, str]:
    return {"loa-own-key": context}
