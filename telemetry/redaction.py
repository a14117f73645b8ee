"""What never appears in a log line: signatures, keys, tokens, e-mail addresses, headers and cookies.

Three sieves, because each has holes. By name: a fact called `signature` or `authorization` is not printed whatever it
holds. By shape: text that looks like a signature, a private key, a token or an e-mail address is cut out wherever it
stands. By value: the secrets of the settings are cut out literally. Hashes look like private keys; they survive only
under names that say hash, nonce or transaction. Ids, wallets and amounts are facts and stay.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

REDACTED: Final = "[redacted]"
DEPTH_MAX: Final = 6
SEARCHED_LENGTH_MAX: Final = 16 * 1024  # what is longer is cut before it is searched; log lines are shorter still
SECRET_LENGTH_MIN: Final = 8  # a shorter secret would blank out ordinary words

_SECRET_NAMES: Final = frozenset(
    {
        "signature", "authorization", "cookie", "cookies", "set_cookie", "headers", "header", "email", "mail",
        "password", "secret", "secrets", "token", "api_key", "apikey", "key", "keys", "private_key", "mnemonic", "seed",
        "pepper", "payload", "payment_payload", "payment_header", "payment_signature", "payment_required", "x_payment",
        "sign_in_with_x", "quote_token", "access_token", "refresh_token", "csrf_token", "session", "sessionid",
        "prompt", "messages", "body", "environ", "meta", "request",
    }
)  # fmt: skip
_SECRET_ENDINGS: Final = (
    "_signature", "_secret", "_password", "_private_key", "_api_key", "_token", "_email", "_cookie",
)  # fmt: skip
_HASH_WORDS: Final = ("hash", "nonce", "transaction", "digest", "topic", "head", "block", "trace_id")

_LONG_HEX: Final = re.compile(r"\b(?:0x)?[0-9a-fA-F]{128,}\b")
_KEY_HEX: Final = re.compile(r"\b(?:0x)?[0-9a-fA-F]{64}\b")
_EMAIL: Final = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_API_KEY: Final = re.compile(r"\b(?:dk|st)_[A-Za-z0-9_-]{16,}")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_JWT: Final = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)?")
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^\s/:@]*):([^\s/@]+)@")
# What every shape above contains: the search for these is what an innocent text costs.
_HINT: Final = r"@|(?i:bearer|basic)\s|eyJ|(?:dk|st)_"
_HEX_HINT: Final = r"[0-9a-fA-F]{64}"
_SHAPES: Final = (_LONG_HEX, _EMAIL, _API_KEY, _JWT)


class Redactor:
    """Cuts secrets out of the facts of a log line; built once with the literal secrets of the settings."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        literal = sorted({secret for secret in secrets if len(secret) >= SECRET_LENGTH_MIN}, key=len, reverse=True)
        self._literal = re.compile("|".join(map(re.escape, literal))) if literal else None
        known = [self._literal.pattern] if self._literal else []
        # Nearly every text is innocent: one search decides, and only what it finds is worked on.
        self._suspect = re.compile("|".join([*known, _HINT, _HEX_HINT]))

    def facts(self, facts: Mapping[str, object], depth: int = 0) -> dict[str, object]:
        """A copy of the facts without secrets."""
        return {str(name): self._fact(str(name), value, depth) for name, value in facts.items()}

    def text(self, text: str, *, keeps_hashes: bool = False) -> str:
        """A copy of a text without anything that looks like, or is, a secret."""
        text = text[:SEARCHED_LENGTH_MAX]
        if self._suspect.search(text) is None:
            return text
        if self._literal is not None:
            text = self._literal.sub(REDACTED, text)
        text = _BEARER.sub(rf"\1 {REDACTED}", text)
        text = _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text)
        for shape in _SHAPES:
            text = shape.sub(REDACTED, text)
        return text if keeps_hashes else _KEY_HEX.sub(REDACTED, text)

    def _fact(self, name: str, value: object, depth: int) -> object:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        is_secret, keeps_hashes = _judged(name)
        if is_secret and not (isinstance(value, str) and value.isdecimal()):
            return REDACTED
        return self._value(value, depth, keeps_hashes=keeps_hashes)

    def _value(self, value: object, depth: int, *, keeps_hashes: bool) -> object:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if depth >= DEPTH_MAX:
            return "[too deep]"
        if isinstance(value, Mapping):
            return self.facts(value, depth + 1)
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._value(member, depth + 1, keeps_hashes=keeps_hashes) for member in value]
        if isinstance(value, (bytes, bytearray)):
            return f"[{len(value)} bytes]"
        return self.text(str(value), keeps_hashes=keeps_hashes)


def is_secret_name(name: str) -> bool:
    """Whether a fact of that name is never printed.

    >>> [is_secret_name(name) for name in ("X-Payment", "quote_token", "quote_token_hash", "input_tokens", "payer")]
    [True, True, False, False, False]
    """
    plain = name.lower().replace("-", "_").removeprefix("http_")
    return plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS)


@functools.lru_cache(maxsize=4096)
def _judged(name: str) -> tuple[bool, bool]:
    """(is never printed, may hold a hash) of a fact's name."""
    return is_secret_name(name), any(word in name.lower() for word in _HASH_WORDS)


def secrets_of(settings: Mapping[str, object]) -> set[str]:
    """The literal secrets in a mapping of settings: values under secret names, key rings, passwords inside URLs."""
    found: set[str] = set()
    for name, value in settings.items():
        if isinstance(value, Mapping):
            ring = name.lower().endswith("keys")
            found |= {str(secret) for secret in value.values()} if ring else secrets_of(value)
        elif isinstance(value, list | tuple):
            found |= {str(secret) for secret in value} if "pepper" in name.lower() else set()
        elif isinstance(value, str):
            if name.lower().endswith(("key", "secret", "password", "pepper", "token")):
                found |= {value, value.removeprefix("0x")}
            elif "://" in value and (password := urlsplit(value).password):
                found |= {password, unquote(password)}
    return found
