"""Where a key is: in the setting itself, in a file, or in AWS KMS. Whoever signs does not notice the difference.

A reference is `0x…` (the key itself), `file:/path` (a file that holds it and that only its owner can read), or
`kms:KEY-ID-OR-ARN` (a secp256k1 signing key). Messages never repeat a key.
"""

import stat
from functools import lru_cache
from pathlib import Path
from typing import Final

from coincurve import PublicKey

from outbound import aws_kms
from x402.chain.transactions import Signer
from x402.protocol import eip712

FILE: Final = "file:"
KMS: Final = "kms:"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeyUnusable(ValueError):
    """Raised when a key's reference leads to no key that may be used; the message names the place, never the key."""


class KmsSigner(Signer):
    """Signs with a key that stays in KMS. `address` is asked for once."""

    def __init__(self, key_id: str) -> None:
        self._key_id = key_id
        self._public = PublicKey(aws_kms.public_point(key_id))
        self.address = eip712.checksum_address(eip712.address_of_key(self._public))

    def recoverable(self, digest: bytes) -> bytes:
        """r, s in the lower half, and the recovery id that leads back to this key. Raises KmsUnavailable."""
        r, s = aws_kms.sign_digest(self._key_id, digest)
        numbers = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        own = self._public.format()
        for recovery in (b"\0", b"\1"):
            if PublicKey.from_signature_and_message(numbers + recovery, digest, hasher=None).format() == own:
                return numbers + recovery
        raise KeyUnusable("KMS signed with another key than it shows")


@lru_cache(maxsize=16)
def signer_of(reference: str) -> Signer:
    """The signer behind a reference. Raises KeyUnusable, ValueError, KmsUnavailable."""
    if reference.startswith(KMS):
        return KmsSigner(reference.removeprefix(KMS))
    if reference.startswith(FILE):
        return Signer(_content_of(Path(reference.removeprefix(FILE))))
    return Signer(reference)


def _content_of(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        content = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise KeyUnusable(f"the key file {path} cannot be read: {type(error).__name__}") from None
    if mode & _OTHERS:
        raise KeyUnusable(f"the key file {path} can be read by others: chmod 600")
    return content
