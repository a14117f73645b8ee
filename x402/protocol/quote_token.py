"""A quote that needs no row: a signed token in the terms' `extra`, echoed by the payer (decision 2, rules R1 and R20).

The token carries what was promised: the request it is for, the maximum cost, the price version and exchange rate that
made it, and when it ends. Its 128 random bits never reach the chain, so presenting it later proves the payer's side. It
is evidence, not authority: the cost is computed again at payment, and a leaked key can only pick an existing price.

Layout, big-endian, base64url without padding, at most 200 characters:
version and flags (1) · key tag (4) · random (16) · request hash (32) · max cost (8) · price version (4) · rate (4 + 4)
· expiry (5) · lifetime (2) · [trace id, span id, flags (25)] · [wallet (20), credit applied (8)] · HMAC-SHA256/128 (16)
"""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from x402.protocol.errors import QuoteRefused

MAX_TOKEN_CHARACTERS: Final = 200
MINIMUM_SECRET_CHARACTERS: Final = 32  # a secret in hex has 128 bits at that length
_VERSION: Final = 1
_HAS_TRACE: Final = 1
_HAS_WALLET: Final = 2
_FIXED: Final = struct.Struct(">B4s16s32sQIII5sH")
_TRACE_BYTES: Final = 25
_WALLET: Final = struct.Struct(">20sQ")
_MAC_BYTES: Final = 16  # half of SHA-256, the least RFC 2104 advises; guessing it online is out of reach
_BASE32: Final = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class QuoteToken:
    """What one 402 promised. Costs in MicroUSDC; the rate is MicroUSDC per MicroUSD, an exact fraction.

    `trace_context` is a W3C trace id, span id and flags in 25 bytes. `wallet` with `credit_applied` names whose credit
    pays a part of the price (rule R13); without a wallet the quote is anyone's.
    """

    random: bytes
    request_hash: bytes
    max_cost_micro_usdc: int
    price_version: int
    rate: tuple[int, int]
    issued_at: int
    expires_at: int
    trace_context: bytes | None = None
    wallet: bytes | None = None
    credit_applied_micro_usdc: int = 0

    @property
    def quote_id(self) -> str:
        """The public name of this quote; it does not give the token away."""
        number = int.from_bytes(sha256(b"loa/quote-id/1" + self.random + self.request_hash).digest()[:16], "big")
        return "quo_" + "".join(_BASE32[number >> shift & 31] for shift in range(125, -1, -5))

    @property
    def amount_micro_usdc(self) -> int:
        """What is left to be paid on the chain."""
        return self.max_cost_micro_usdc - self.credit_applied_micro_usdc


def token_hash(token: str) -> str:
    """How a token is stored and compared: its SHA-256 in hex, never the token itself (rule R1)."""
    return sha256(token.encode("ascii", "replace")).hexdigest()


def derived_nonce(token: str) -> bytes:
    """An authorization nonce bound to this quote; publishing it does not publish the token (attack 1)."""
    return sha256(b"loa/nonce/1" + token.encode("ascii", "replace")).digest()


def issue(quote: QuoteToken, *, key_id: str, secret: bytes) -> str:
    """The token for this quote, signed. Raises ValueError when a fact does not fit its field."""
    if len(quote.random) != 16 or len(quote.request_hash) != 32:
        raise ValueError("a quote has 16 random bytes and a request hash of 32")
    if not 0 <= quote.credit_applied_micro_usdc <= quote.max_cost_micro_usdc:
        raise ValueError("credit cannot pay more than the price")
    if (quote.wallet is None) != (quote.credit_applied_micro_usdc == 0):
        raise ValueError("credit needs a wallet, and a wallet is named for its credit alone")
    flags = (_HAS_TRACE if quote.trace_context is not None else 0) | (_HAS_WALLET if quote.wallet is not None else 0)
    try:
        body = _FIXED.pack(
            _VERSION << 4 | flags,
            _key_tag(key_id),
            quote.random,
            quote.request_hash,
            quote.max_cost_micro_usdc,
            quote.price_version,
            *quote.rate,
            quote.expires_at.to_bytes(5, "big"),
            quote.expires_at - quote.issued_at,
        )
    except (struct.error, OverflowError) as error:
        raise ValueError(f"a quote's fact does not fit its field: {error}") from error
    if quote.trace_context is not None:
        if len(quote.trace_context) != _TRACE_BYTES:
            raise ValueError("a trace context has 25 bytes")
        body += quote.trace_context
    if quote.wallet is not None:
        if len(quote.wallet) != 20:
            raise ValueError("a wallet has 20 bytes")
        body += _WALLET.pack(quote.wallet, quote.credit_applied_micro_usdc)
    return urlsafe_b64encode(body + _mac(body, secret)).rstrip(b"=").decode("ascii")


def read(token: str, *, keys: Mapping[str, bytes], now: int) -> QuoteToken:
    """The quote in this token, if one of our keys signed it and it has not ended. `now` in Unix seconds.

    Raises QuoteRefused: `forged`, `unknown_key` or `expired`.
    """
    quote = authenticate(token, keys=keys)
    if now >= quote.expires_at:
        raise QuoteRefused("expired", "the quote has ended; ask for a new one")
    return quote


def authenticate(token: str, *, keys: Mapping[str, bytes]) -> QuoteToken:
    """The quote in this token, ended or not. Raises QuoteRefused: `forged` or `unknown_key`."""
    raw = _decode(token)
    flags = raw[0] & 15
    length = _FIXED.size + (_TRACE_BYTES if flags & _HAS_TRACE else 0) + (_WALLET.size if flags & _HAS_WALLET else 0)
    if raw[0] >> 4 != _VERSION or flags > (_HAS_TRACE | _HAS_WALLET) or len(raw) != length + _MAC_BYTES:
        raise QuoteRefused("forged", "not a quote token")
    secret = next((secret for key_id, secret in keys.items() if _key_tag(key_id) == raw[1:5]), None)
    if secret is None:
        raise QuoteRefused("unknown_key", "the key of this quote is no longer in use")
    body = raw[:length]
    if not hmac.compare_digest(_mac(body, secret), raw[length:]):
        raise QuoteRefused("forged", "the quote was changed")
    return _unpack(body, flags)


def _unpack(body: bytes, flags: int) -> QuoteToken:
    _, _, random, request_hash, max_cost, version, numerator, denominator, expiry, lifetime = _FIXED.unpack_from(body)
    offset = _FIXED.size
    trace_context = wallet = None
    credit_applied = 0
    if flags & _HAS_TRACE:
        trace_context = body[offset : offset + _TRACE_BYTES]
        offset += _TRACE_BYTES
    if flags & _HAS_WALLET:
        wallet, credit_applied = _WALLET.unpack_from(body, offset)
    expires_at = int.from_bytes(expiry, "big")
    return QuoteToken(
        random=random,
        request_hash=request_hash,
        max_cost_micro_usdc=max_cost,
        price_version=version,
        rate=(numerator, denominator),
        issued_at=expires_at - lifetime,
        expires_at=expires_at,
        trace_context=trace_context,
        wallet=wallet,
        credit_applied_micro_usdc=credit_applied,
    )


def _decode(token: str) -> bytes:
    """The bytes of a token in its one spelling: a second spelling would have a second stored hash."""
    if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
        raise QuoteRefused("forged", "not a quote token")
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (Base64Error, ValueError):
        raise QuoteRefused("forged", "not a quote token") from None
    if len(raw) < _FIXED.size + _MAC_BYTES or urlsafe_b64encode(raw).rstrip(b"=") != token.encode("ascii"):
        raise QuoteRefused("forged", "not a quote token")
    return raw


def _key_tag(key_id: str) -> bytes:
    return sha256(b"loa/quote-key/1" + key_id.encode()).digest()[:4]


def _mac(body: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, body, "sha256")[:_MAC_BYTES]
