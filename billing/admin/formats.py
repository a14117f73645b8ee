"""How staff pages write money, moments, ids and states, the same on every page.

An amount is always shown twice: in the unit people think in, and as the integer that is stored. Denominations name
their unit: a CAIP-19 asset is counted in millionths of a USDC, `MicroUSD` in millionths of a dollar, `KiloWei:<chain>`
in thousands of wei of that chain's coin.
"""

from datetime import UTC, datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

MICRO_DIGITS = 6
KILO_WEI_DIGITS = 15  # a coin is 10^18 wei, and the ledger counts in thousands of them
NOTHING = "–"
SHORT_ENDS = 6

GOOD_STATES = frozenset({"served", "settled", "mined", "FINALIZE_ACKED", "COMMITTED", "done", "active", "open"})
BAD_STATES = frozenset({"dead", "settlement_unknown", "FINALIZE_FAILED", "poisoned", "dropped", "revoked"})
WAITING_STATES = frozenset(
    {"verified", "settling", "serving", "pending", "RESERVE_HELD", "FINALIZE_PENDING", "stored", "broadcast"}
)


def unit_of(denomination: str) -> tuple[str, int]:
    """The name people use for a denomination, and how many digits its atomic unit has behind the point."""
    if denomination.startswith("KiloWei:"):
        return f"coin of {denomination.partition(':')[2]}", KILO_WEI_DIGITS
    if denomination == "MicroUSD":
        return "USD", MICRO_DIGITS
    return "USDC", MICRO_DIGITS


def human(amount: int, *, digits: int) -> str:
    """`amount` atomic units as a decimal number with every digit kept: 1_234_500 with six digits is 1.234500."""
    whole, fraction = divmod(abs(amount), 10**digits)
    sign = "\N{MINUS SIGN}" if amount < 0 else ""
    return f"{sign}{whole:,}.{fraction:0{digits}d}"


def atomic(amount: int) -> str:
    """The stored integer, grouped, with a real minus sign."""
    return f"{amount:,}".replace("-", "\N{MINUS SIGN}")


def amount_of(amount: int | None, *, denomination: str = "MicroUSDC") -> SafeString | str:
    """Both forms of an amount, a debit in red; a dash for None. Units: atomic units of `denomination`."""
    if amount is None:
        return NOTHING
    name, digits = unit_of(denomination)
    return format_html(
        '<span class="loa-amount{}">{} {}</span> <span class="loa-atomic">({})</span>',
        " loa-debit" if amount < 0 else "",
        human(amount, digits=digits),
        name,
        atomic(amount),
    )


def sum_of(amount: int, *, denomination: str) -> SafeString:
    """An amount under the accountant's double rule."""
    return format_html('<span class="loa-sum">{}</span>', amount_of(amount, denomination=denomination))


def moment_of(moment: datetime | None) -> SafeString | str:
    """A moment to the second in UTC, machine-readable to the microsecond; a dash for None."""
    if moment is None:
        return NOTHING
    utc = moment.astimezone(UTC)
    return format_html(
        '<time class="loa-time" datetime="{}">{}</time>', utc.isoformat(), utc.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def identifier_of(identifier: str | None, *, url: str = "") -> SafeString | str:
    """An id in the face of code, linked where it leads somewhere; a dash when there is none."""
    if not identifier:
        return NOTHING
    if url:
        return format_html('<a class="loa-id" href="{}">{}</a>', url, identifier)
    return format_html('<span class="loa-id">{}</span>', identifier)


def short_of(value: str) -> SafeString | str:
    """The two ends of a chain address or hash, for lists; the whole is its tooltip and stands on the row's page."""
    if len(value) <= SHORT_ENDS * 2:
        return identifier_of(value)
    return format_html('<span class="loa-id" title="{}">{}…{}</span>', value, value[:SHORT_ENDS], value[-SHORT_ENDS:])


def state_of(state: str) -> SafeString:
    """A state as a small label; its colour repeats what the word says and is never the only sign."""
    tone = "good" if state in GOOD_STATES else "bad" if state in BAD_STATES else ""
    tone = tone or ("wait" if state in WAITING_STATES else "plain")
    return format_html('<span class="loa-state loa-state-{}">{}</span>', tone, state)


def hexadecimal(value: bytes | memoryview | None) -> SafeString | str:
    """Bytes as lower-case hexadecimal."""
    return identifier_of(bytes(value).hex()) if value is not None else NOTHING
