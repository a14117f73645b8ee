"""What a call may cost and what it did cost, in integers.

Catalogue prices are MicroUSD per million tokens. The price named before the work is rounded up, the price charged after
it is rounded down, so rounding never takes more than was quoted, and a call that was priced costs at least one unit.
MicroUSD becomes MicroUSDC by an exact fraction that the quote freezes (decision 10).
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Final

from x402.protocol.strict_json import JsonValue

TOKENS_PER_PRICE: Final = 1_000_000
MINIMUM_CHARGE: Final = 1  # one atomic unit; a call cheaper than that would be free
MICRO: Final = 1_000_000
PARITY: Final = Fraction(1)
MAX_MICRO_USDC: Final = 2**63 - 1  # every amount is one bigint
_DOLLARS: Final = re.compile(r"\$(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,6}))?", re.ASCII)


class Rounding(Enum):
    """Which way a fraction of a unit goes."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Converted:
    """An amount in the new unit and what rounding left: exact value − amount, in units, negative when rounded up."""

    amount: int
    remainder: Fraction


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What a model's tokens cost, in MicroUSD per million tokens."""

    input_per_million: int
    output_per_million: int

    def __post_init__(self) -> None:
        if self.input_per_million < 0 or self.output_per_million < 0:
            raise ValueError("a price is not negative")


@dataclass(frozen=True, slots=True)
class Quotation:
    """The most a request may cost, in MicroUSDC, and the price version that says so. Never zero or negative."""

    max_cost_micro_usdc: int
    price_version: int = 1
    description: str = ""
    rate: Fraction = PARITY

    def __post_init__(self) -> None:
        if not 0 < self.max_cost_micro_usdc <= MAX_MICRO_USDC:
            raise ValueError("a quotation is a positive bigint of MicroUSDC")


@dataclass(frozen=True, slots=True)
class PricedRequest:
    """What a price sees of a request. `json` is the body parsed once and strictly, None when it is not JSON.

    `query` holds the decoded pairs in the order they came; `body` the raw bytes; `account_id` the account whose key or
    wallet the request proves, empty for nobody's: a price may refuse by it, never differ by it.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    media_type: str
    json: JsonValue
    body: bytes
    account_id: str = ""


def maximum_cost_micro_usd(price: TokenPrice, *, input_tokens: int, max_output_tokens: int) -> int:
    """What the call costs at most, rounded up. Units: MicroUSD."""
    return _token_cost(price, tokens=(input_tokens, max_output_tokens), rounding=Rounding.UP)


def actual_cost_micro_usd(price: TokenPrice, *, input_tokens: int, output_tokens: int) -> int:
    """What the call did cost, rounded down. Units: MicroUSD."""
    return _token_cost(price, tokens=(input_tokens, output_tokens), rounding=Rounding.DOWN)


def _token_cost(price: TokenPrice, *, tokens: tuple[int, int], rounding: Rounding) -> int:
    if min(tokens) < 0:
        raise ValueError("a token count is not negative")
    exact = Fraction(price.input_per_million * tokens[0] + price.output_per_million * tokens[1], TOKENS_PER_PRICE)
    return max(MINIMUM_CHARGE, round_to_unit(exact, rounding).amount)


def to_micro_usdc(amount_micro_usd: int, *, rate: Fraction, rounding: Rounding) -> Converted:
    """MicroUSD in MicroUSDC at `rate` (MicroUSDC per MicroUSD); a positive amount stays at least one unit."""
    if amount_micro_usd < 0 or rate <= 0:
        raise ValueError("an amount is not negative and a rate is positive")
    converted = round_to_unit(amount_micro_usd * rate, rounding)
    if amount_micro_usd and not converted.amount:
        return Converted(MINIMUM_CHARGE, amount_micro_usd * rate - MINIMUM_CHARGE)
    return converted


def to_micro_usd(amount_micro_usdc: int, *, rate: Fraction, rounding: Rounding) -> Converted:
    """MicroUSDC in MicroUSD at `rate` (MicroUSDC per MicroUSD); a positive amount stays at least one unit."""
    return to_micro_usdc(amount_micro_usdc, rate=1 / rate, rounding=rounding)


def round_to_unit(exact: Fraction, rounding: Rounding) -> Converted:
    """A whole number of units and the signed remainder. Units: the caller's."""
    amount = exact.numerator // exact.denominator
    if rounding is Rounding.UP and exact.denominator != 1:
        amount += 1
    return Converted(amount, exact - amount)


def parse_price(text: str) -> int:
    """MicroUSDC of a fixed price such as `"$0.01"`: dollars with up to six decimals, above zero.

    Raises ValueError for anything else, so that a price with a typing error stops the start.

    >>> parse_price("$0.01")
    10000
    """
    match = _DOLLARS.fullmatch(text)
    if match is None:
        raise ValueError(f"a price is written like $0.01, not {text!r}")
    amount = int(match[1]) * MICRO + int((match[2] or "").ljust(6, "0"))
    if amount == 0:
        raise ValueError("a price is above zero")
    return amount


def format_price(amount_micro_usdc: int) -> str:
    """The amount as people read it, in dollars without trailing zeros but with cents.

    >>> format_price(10_000), format_price(45)
    ('$0.01', '$0.000045')
    """
    digits = f"{Decimal(amount_micro_usdc).scaleb(-6):.6f}"
    whole, _, fraction = digits.partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def parse_rate(text: str) -> Fraction:
    """An exchange rate from settings or a row, `1`, `0.9998` or `9998/10000`, that fits a quote token.

    Units: MicroUSDC per MicroUSD. Raises ValueError.
    """
    if not re.fullmatch(r"[0-9]{1,10}(?:\.[0-9]{1,9}|/[0-9]{1,10})?", text, re.ASCII):
        raise ValueError(f"a rate is a positive decimal or fraction, not {text!r}")
    try:
        rate = Fraction(text)
    except ZeroDivisionError:
        raise ValueError("a rate's denominator is not zero") from None
    if not 0 < rate.numerator < 2**32 or not rate.denominator < 2**32:
        raise ValueError("a rate's numerator and denominator are 32-bit numbers above zero")
    return rate
