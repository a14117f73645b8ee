"""Who signs an anchored head: a key in a file, a key in AWS KMS, or any class with the same three names.

A key file holds a PEM private key of Ed25519, or `hmac:` and at least 64 hexadecimal digits. With Ed25519 whoever has
the public key can check an anchor; with an HMAC only we can. The key is not in the database, so that whoever can
rewrite the ledger cannot sign what they made of it.
"""

import hashlib
import hmac
from pathlib import Path
from typing import Final, Protocol

from coincurve import PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from django.utils.module_loading import import_string

from billing.domain.errors import Refused
from outbound import aws_kms
from telemetry.configuration import loa

HMAC_PREFIX: Final = "hmac:"
HMAC_KEY_BYTES_MIN: Final = 32
COMPACT_BYTES: Final = 64


class AnchorsNotConfigured(Refused):
    """Raised when no usable key to sign anchors with is configured; facts: setting, reason."""

    code = "anchors_not_configured"


class Signer(Protocol):
    """What signs and checks digests. `key_id` names the key without revealing it."""

    @property
    def key_id(self) -> str: ...

    def sign(self, digest: bytes) -> bytes: ...

    def is_signed(self, digest: bytes, signature: bytes) -> bool: ...


class FileKeySigner:
    """Signs with the key in the file that LOA["ANCHOR_KEY_FILE"] names. Raises AnchorsNotConfigured."""

    def __init__(self) -> None:
        path = loa("ANCHOR_KEY_FILE")
        if not path:
            raise AnchorsNotConfigured(setting="ANCHOR_KEY_FILE", reason="is not set")
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise AnchorsNotConfigured(setting="ANCHOR_KEY_FILE", reason=str(error)) from error
        self._signer = _signer_of(content)

    @property
    def key_id(self) -> str:
        """The kind of key and eight bytes of its fingerprint."""
        return self._signer.key_id

    def sign(self, digest: bytes) -> bytes:
        """The signature of a digest."""
        return self._signer.sign(digest)

    def is_signed(self, digest: bytes, signature: bytes) -> bool:
        """Whether this key made the signature."""
        return self._signer.is_signed(digest, signature)


class KmsSigner:
    """Signs with the KMS key (ECC_SECG_P256K1) that LOA["ANCHOR_KMS_KEY"] names; whoever has its public half can check.

    Raises AnchorsNotConfigured; signing and the first check raise KmsUnavailable while KMS does not answer.
    """

    def __init__(self) -> None:
        self._key = loa("ANCHOR_KMS_KEY")
        if not self._key:
            raise AnchorsNotConfigured(setting="ANCHOR_KMS_KEY", reason="is not set")
        self._public = PublicKey(aws_kms.public_point(self._key))

    @property
    def key_id(self) -> str:
        """The kind of key and eight bytes of its fingerprint."""
        return f"kms-secp256k1:{hashlib.sha256(self._public.format()).hexdigest()[:16]}"

    def sign(self, digest: bytes) -> bytes:
        """r and s, 32 bytes each, s in the lower half."""
        r, s = aws_kms.sign_digest(self._key, digest)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def is_signed(self, digest: bytes, signature: bytes) -> bool:
        """Whether this key made the signature."""
        if len(signature) != COMPACT_BYTES:
            return False
        try:
            encoded = cdata_to_der(deserialize_compact(signature))
            return self._public.verify(encoded, digest, hasher=None)
        except ValueError:
            return False


def configured_signer() -> Signer:
    """The signer that the settings name. Raises AnchorsNotConfigured."""
    path = loa("ANCHOR_SIGNER")
    try:
        made: Signer = import_string(path)()
    except ImportError as error:
        raise AnchorsNotConfigured(setting="ANCHOR_SIGNER", reason=str(error)) from error
    return made


class _Ed25519:
    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key()

    @property
    def key_id(self) -> str:
        raw = self._public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"ed25519:{hashlib.sha256(raw).hexdigest()[:16]}"

    def sign(self, digest: bytes) -> bytes:
        return self._key.sign(digest)

    def is_signed(self, digest: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, digest)
        except InvalidSignature:
            return False
        return True


class _Hmac:
    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def key_id(self) -> str:
        return f"hmac-sha256:{hashlib.sha256(b'loa.anchor.key:' + self._key).hexdigest()[:16]}"

    def sign(self, digest: bytes) -> bytes:
        return hmac.digest(self._key, digest, "sha256")

    def is_signed(self, digest: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(self.sign(digest), signature)


def _signer_of(content: bytes) -> Signer:
    text = content.decode("ascii", "replace").strip()
    if text.startswith(HMAC_PREFIX):
        try:
            key = bytes.fromhex(text.removeprefix(HMAC_PREFIX))
        except ValueError as error:
            raise AnchorsNotConfigured(setting="ANCHOR_KEY_FILE", reason="the key is not hexadecimal") from error
        if len(key) < HMAC_KEY_BYTES_MIN:
            raise AnchorsNotConfigured(setting="ANCHOR_KEY_FILE", reason="the key has fewer than 32 bytes")
        return _Hmac(key)
    try:
        loaded = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise AnchorsNotConfigured(setting="ANCHOR_KEY_FILE", reason="holds no readable private key") from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise AnchorsNotConfigured(setting="ANCHOR_KEY_FILE", reason="the private key is not of Ed25519")
    return _Ed25519(loaded)
