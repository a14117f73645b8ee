"""The chart of accounts: which accounts can exist, and what limits them.

An account is named by the text below and belongs to one denomination; it is opened by the first journal that
names it. Accounts of a user or a wallet are one row with a floor (and some a cap); system accounts are one row per
stream, so that writers do not wait for each other, and therefore have no limits (rules R27, R31).
`billing.account_shape` holds the same rows; a test compares the two.
"""

from dataclasses import dataclass
from enum import StrEnum

from billing.domain.money import LARGEST

PREPAID = "MicroUSD"
MAX_CREDIT_BALANCE = 1_000_000_000_000  # one million USDC a wallet: a bound on what a bug can owe

ASSET_ID = r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,64}"
COIN_ID = r"KiloWei:[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}"


class AccountKind(StrEnum):
    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"
    EQUITY = "equity"


@dataclass(frozen=True, slots=True)
class Shape:
    """One line of the chart. `number` is this shape's bit in the templates' masks and never changes."""

    number: int
    name: str
    pattern: str
    kind: AccountKind
    denominations: str
    is_sharded: bool = True
    owner: str = ""
    floor: int = -LARGEST
    cap: int = LARGEST


_TOKENS = f"^{ASSET_ID}$"
_MONEY = f"^({ASSET_ID}|MicroUSD)$"
_COINS = f"^{COIN_ID}$"
_ANY = f"^({ASSET_ID}|MicroUSD|{COIN_ID})$"

CHART = (
    Shape(0, "treasury", r"^treasury:usdc_received:.+:.+:.+$", AccountKind.ASSET, _TOKENS),
    Shape(
        1,
        "user_available",
        r"^user:([^:]+):available$",
        AccountKind.LIABILITY,
        "^MicroUSD$",
        is_sharded=False,
        owner="user",
        floor=0,
    ),
    Shape(
        2, "user_held", r"^user:([^:]+):held$", AccountKind.LIABILITY, _MONEY, is_sharded=False, owner="user", floor=0
    ),
    Shape(
        3,
        "credit_notes",
        r"^system:credit_notes:([^:]+)$",
        AccountKind.LIABILITY,
        _TOKENS,
        is_sharded=False,
        owner="wallet",
        floor=0,
        cap=MAX_CREDIT_BALANCE,
    ),
    Shape(4, "refunds_payable", r"^system:refunds_payable$", AccountKind.LIABILITY, _TOKENS),
    Shape(5, "revenue", r"^system:revenue$", AccountKind.INCOME, _MONEY),
    Shape(6, "credit_notes_expired", r"^system:credit_notes_expired$", AccountKind.INCOME, _TOKENS),
    Shape(
        7, "receivable", r"^system:receivable:([^:]+)$", AccountKind.ASSET, _TOKENS, is_sharded=False, owner="wallet"
    ),
    Shape(8, "overruns", r"^system:overruns$", AccountKind.EXPENSE, _MONEY),
    Shape(9, "gas", r"^system:gas$", AccountKind.EXPENSE, _COINS),
    Shape(10, "rounding", r"^system:rounding$", AccountKind.EXPENSE, _ANY),
    Shape(11, "bad_debt", r"^system:bad_debt$", AccountKind.EXPENSE, _MONEY),
    Shape(12, "relayer", r"^relayer:.+:.+$", AccountKind.ASSET, _COINS),
    Shape(13, "funding", r"^system:funding$", AccountKind.EQUITY, _COINS),
    Shape(14, "suspense", r"^system:suspense$", AccountKind.LIABILITY, _TOKENS),
    Shape(15, "exchange", r"^exchange:.+:.+$", AccountKind.EQUITY, _ANY),
    Shape(16, "refund_float", r"^treasury:refund_float(:.+)?$", AccountKind.ASSET, _TOKENS),
    Shape(17, "opening", r"^system:opening$", AccountKind.EQUITY, _ANY),
)
SHAPE_OF_NAME = {shape.name: shape for shape in CHART}


def available(account_id: str) -> str:
    """An account's prepaid balance."""
    return f"user:{account_id}:available"


def account_of_available(name: str) -> str:
    """Whose prepaid balance an account is, or the empty string.

    >>> account_of_available("user:acc_1:available"), account_of_available("user:acc_1:held")
    ('acc_1', '')
    """
    kind, _, rest = name.partition(":")
    account_id, _, part = rest.partition(":")
    return account_id if (kind, part) == ("user", "available") else ""


def held(account_id: str) -> str:
    """What an account has reserved for work that is under way."""
    return f"user:{account_id}:held"


def credit_notes(wallet: str) -> str:
    """What we owe a wallet in notes; always the sum of what remains on them."""
    return f"system:credit_notes:{wallet.lower()}"


def receivable(wallet: str) -> str:
    """What a wallet owes us: served before it settled, or settled and undone by the chain."""
    return f"system:receivable:{wallet.lower()}"


RECEIVED = "treasury:usdc_received:"  # how every account begins that money from a chain arrives at


def treasury(*, network: str, asset_address: str, pay_to: str) -> str:
    """Money on chain at one address, in one contract, on one network: comparable with the chain (R33)."""
    return f"{RECEIVED}{network}:{asset_address.lower()}:{pay_to.lower()}"


def refund_float(*, network: str, asset_address: str, address: str) -> str:
    """The money refunds are paid from: one address, so that it can be compared with the chain (R33)."""
    return f"{REFUND_FLOAT}:{network}:{asset_address.lower()}:{address.lower()}"


def relayer(*, network: str, address: str) -> str:
    """A relayer's gas money."""
    return f"relayer:{network}:{address.lower()}"


def exchange(*, source: str, target: str) -> str:
    """Where one denomination becomes another; its two balances are the open position."""
    return f"exchange:{source}:{target}"


def token_denomination(*, network: str, asset_address: str) -> str:
    """A token's CAIP-19 id, in lower case, as the ledger names its denomination."""
    return f"{network}/erc20:{asset_address.lower()}"


def coin_denomination(network: str) -> str:
    """A network's native coin, booked in thousands of wei."""
    return f"KiloWei:{network}"


REVENUE = "system:revenue"
REFUNDS_PAYABLE = "system:refunds_payable"
CREDIT_NOTES_EXPIRED = "system:credit_notes_expired"
OVERRUNS = "system:overruns"
GAS = "system:gas"
ROUNDING = "system:rounding"
BAD_DEBT = "system:bad_debt"
FUNDING = "system:funding"
SUSPENSE = "system:suspense"
OPENING = "system:opening"
REFUND_FLOAT = "treasury:refund_float"
