"""Money: whole numbers of a named atomic unit, which never mix.

MicroUSDC  a millionth of a USDC, per network and contract.
MicroUSD   a millionth of a dollar; prepaid balances.
KiloWei    1,000 wei of a network's native coin, rounded up, so that one 64-bit column holds every amount (rule R33).
CreditUnit a cent; packs and display only.

Conversions name their rate as an exact fraction and their rounding, and return what rounding left over,
so that it can be booked: nothing is created or lost by dividing.
"""

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Generic, Self, TypeVar

from billing.domain.errors import InvalidAmount, UnitMismatch

LARGEST = 2**63 - 1  # a balance is one bigint column
MICRO_USD_PER_CREDIT_UNIT = 10_000
WEI_PER_KILO_WEI = 1_000


class Rounding(Enum):
    UP = "up"
    DOWN = "down"


def require_amount(value: object) -> int:
    """Return `value` if it is an integer of at most 63 bits; booleans, floats and text are not amounts.

    Raises InvalidAmount.
    """
    if type(value) is not int or not -LARGEST <= value <= LARGEST:
        raise InvalidAmount(value=repr(value)[:80])
    return value


@dataclass(frozen=True, slots=True)
class Amount:
    """A whole number of one unit. Sums and comparisons across units raise UnitMismatch."""

    units: int

    def __post_init__(self) -> None:
        require_amount(self.units)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.units + self._same_unit(other))

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.units - self._same_unit(other))

    def __neg__(self) -> Self:
        return type(self)(-self.units)

    def __mul__(self, count: int) -> Self:
        return type(self)(self.units * require_amount(count))

    def __lt__(self, other: Self) -> bool:
        return self.units < self._same_unit(other)

    def __le__(self, other: Self) -> bool:
        return self.units <= self._same_unit(other)

    def __gt__(self, other: Self) -> bool:
        return self.units > self._same_unit(other)

    def __ge__(self, other: Self) -> bool:
        return self.units >= self._same_unit(other)

    def __int__(self) -> int:
        return self.units

    def _same_unit(self, other: object) -> int:
        if type(other) is not type(self):
            raise UnitMismatch(left=type(self).__name__, right=type(other).__name__)
        return other.units


@dataclass(frozen=True, slots=True, order=False)
class MicroUSDC(Amount):
    """A millionth of a USDC."""


@dataclass(frozen=True, slots=True, order=False)
class MicroUSD(Amount):
    """A millionth of a dollar."""


@dataclass(frozen=True, slots=True, order=False)
class KiloWei(Amount):
    """A thousand wei."""


@dataclass(frozen=True, slots=True, order=False)
class CreditUnit(Amount):
    """A cent, for packs and display."""


Target = TypeVar("Target", bound=Amount)


@dataclass(frozen=True, slots=True)
class Conversion(Generic[Target]):
    """A converted amount, and what rounding kept back: `amount − remainder` units are the exact product.

    The remainder is positive when rounding went up and negative when it went down.
    """

    amount: Target
    remainder: Fraction


def convert(amount: Amount, *, to: type[Target], rate: Fraction, rounding: Rounding) -> Conversion[Target]:
    """`amount` times `rate` in another unit, rounded as told.

    Raises InvalidAmount when the rate is not positive or the result does not fit.

    >>> convert(MicroUSDC(7), to=MicroUSD, rate=Fraction(1, 2), rounding=Rounding.DOWN)
    Conversion(amount=MicroUSD(units=3), remainder=Fraction(-1, 2))
    """
    if not isinstance(rate, Fraction) or rate <= 0:
        raise InvalidAmount(rate=repr(rate)[:80])
    exact = amount.units * rate
    whole = (
        -((-exact.numerator) // exact.denominator) if rounding is Rounding.UP else exact.numerator // exact.denominator
    )
    return Conversion(amount=to(whole), remainder=whole - exact)


def kilo_wei_of(wei: int) -> KiloWei:
    """Native coin in the ledger's unit, rounded up: the books never say that less gas was spent than was."""
    return KiloWei(-(-require_wei(wei) // WEI_PER_KILO_WEI))


def require_wei(wei: object) -> int:
    """Return `wei` if it is a whole number that is not negative. Raises InvalidAmount."""
    if type(wei) is not int or wei < 0:
        raise InvalidAmount(value=repr(wei)[:80])
    return wei


def micro_usd_of(credit_units: CreditUnit) -> MicroUSD:
    """What a pack of credit units is worth on a prepaid balance."""
    return MicroUSD(credit_units.units * MICRO_USD_PER_CREDIT_UNIT)


def split(total: int, weights: list[int]) -> list[int]:
    """Divide a whole amount by weights, largest remainder first; the parts always sum to the whole.

    Raises InvalidAmount when there is nothing to divide by.

    >>> split(5, [1, 1, 1])
    [2, 2, 1]
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise InvalidAmount(weights=str(weights)[:80])
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: (-(total * weights[place] % whole), place))
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts
