"""Keys that never leave AWS KMS: public halves and signatures (ECC_SECG_P256K1, ES256K), and sealing small secrets.

Credentials, region and endpoint are found as the AWS SDK finds them; a key by its ARN names its own region. The SDK is
an extra (`loa-django[kms]`): who keeps keys in files does not need it.
"""

from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from coincurve.utils import GROUP_ORDER_INT

from outbound.errors import OutcomeUnknown

CONNECT_TIMEOUT_SECONDS: Final = 3
READ_TIMEOUT_SECONDS: Final = 5
ATTEMPTS: Final = 3  # signing changes nothing, so it may be asked again
_POINT_BYTES: Final = 65


class KmsUnavailable(OutcomeUnknown):
    """Raised when KMS does not answer, or refuses the key. Nothing was signed that anyone has seen."""

    code = "kms_unavailable"


def public_point(key_id: str) -> bytes:
    """The public key as an uncompressed curve point of 65 bytes. Raises KmsUnavailable, ValueError."""
    encoded = _call(key_id, "get_public_key", KeyId=key_id)["PublicKey"]
    point = bytes(encoded)[-_POINT_BYTES:]
    if len(point) != _POINT_BYTES or point[0] != 4:
        raise ValueError("the KMS key is not an elliptic curve key")
    return point


def sign_digest(key_id: str, digest: bytes) -> tuple[int, int]:
    """The numbers r and s of a signature over this digest, s in the lower half. Raises KmsUnavailable, ValueError."""
    answer = _call(key_id, "sign", KeyId=key_id, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
    r, s = _numbers(bytes(answer["Signature"]))
    return r, min(s, GROUP_ORDER_INT - s)  # both halves are valid; the chain and our own checks take the lower one


def encrypt(key_id: str, plain: bytes, *, context: dict[str, str]) -> bytes:
    """At most 4 KiB sealed by a symmetric key that stays in KMS; opened only with the same context.

    Raises KmsUnavailable.
    """
    answer = _call(key_id, "encrypt", KeyId=key_id, Plaintext=plain, EncryptionContext=context)
    return bytes(answer["CiphertextBlob"])


def decrypt(key_id: str, sealed: bytes, *, context: dict[str, str]) -> bytes:
    """What `encrypt` sealed. Raises KmsUnavailable, also when it was sealed by another key or for another context."""
    answer = _call(key_id, "decrypt", KeyId=key_id, CiphertextBlob=sealed, EncryptionContext=context)
    return bytes(answer["Plaintext"])


def _call(key_id: str, operation: str, **arguments: Any) -> Any:
    errors = import_module("botocore.exceptions")
    try:
        return getattr(_client(_region_of(key_id)), operation)(**arguments)
    except (errors.BotoCoreError, errors.ClientError) as error:
        raise KmsUnavailable(f"KMS did not {operation}: {type(error).__name__}") from error


def _region_of(key_id: str) -> str | None:
    """The region in an ARN; None leaves it to the environment."""
    parts = key_id.split(":")
    return parts[3] if len(parts) > 5 and parts[0] == "arn" and parts[2] == "kms" else None


@lru_cache(maxsize=4)
def _client(region: str | None) -> Any:
    config = import_module("botocore.config").Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"max_attempts": ATTEMPTS, "mode": "standard"},
    )
    return import_module("boto3").client("kms", region_name=region, config=config)


def _numbers(der: bytes) -> tuple[int, int]:
    """r and s of a DER signature. Raises ValueError for anything else. Source: X.690, SEC 1 C.5."""
    if len(der) < 8 or der[0] != 0x30 or der[1] != len(der) - 2:
        raise ValueError("not a DER signature")
    r, rest = _integer(der[2:])
    s, rest = _integer(rest)
    if rest:
        raise ValueError("not a DER signature")
    return r, s


def _integer(der: bytes) -> tuple[int, bytes]:
    if len(der) < 3 or der[0] != 0x02 or len(der) < 2 + der[1]:
        raise ValueError("not a DER signature")
    return int.from_bytes(der[2 : 2 + der[1]], "big"), der[2 + der[1] :]
