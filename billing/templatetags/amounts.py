"""Template filters for money and moments: `{% load amounts %}`, `{{ value|usdc }}` and `{{ value|moment }}`."""

from datetime import UTC, datetime

from django import template

from billing.admin.formats import MICRO_DIGITS, NOTHING, human

register = template.Library()


@register.filter
def usdc(amount_micro_usdc: str | int | None) -> str:
    """MicroUSDC, an integer or the API's decimal string, in USDC with six digits and no unit; a dash for nothing.

    >>> usdc("1300"), usdc(None)
    ('0.001300', '–')
    """
    if amount_micro_usdc in (None, ""):
        return NOTHING
    return human(int(amount_micro_usdc), digits=MICRO_DIGITS)


@register.filter
def moment(written: str | None) -> str:
    """A moment as the API writes it, for people: to the second, in UTC; a dash for nothing.

    >>> moment("2026-11-24T20:54:29.016997Z"), moment(None)
    ('2026-11-24 20:54:29 UTC', '–')
    """
    if not written:
        return NOTHING
    return f"{datetime.fromisoformat(written).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
