"""Template filters for money: `{% load amounts %}` and `{{ value|usdc }}`."""

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
