"""Template filters for money: `{% load amounts %}` and `{{ value|usdc }}`."""

from django import template

from billing.admin.formats import MICRO_DIGITS, NOTHING, human

register = template.Library()


@register.filter
def usdc(amount_micro_usdc: str | int | None) -> str:
    """MicroUSDC, as an integer or as the API's decimal string, in USDC with all six digits; a dash for nothing.

    >>> usdc("1300"), usdc(None)
    ('0.001300 USDC', '–')
    """
    if amount_micro_usdc in (None, ""):
        return NOTHING
    return f"{human(int(amount_micro_usdc), digits=MICRO_DIGITS)} USDC"
