"""Ids: who sees one knows what it names, and nobody can guess another.

Most ids are a type prefix and a ULID: they sort by time of birth, which keeps index pages warm. A payment's id is
different: whoever holds it may see the payment's state, so it is 128 random bits and nothing else.
"""

import secrets
import string
from typing import Final

from ulid import ULID

BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
PAYMENT_ID_BITS: Final = 128
PAYMENT_ID_DIGITS: Final = 22  # 62 ** 22 > 2 ** 128
ID_LENGTH_MAX: Final = 40


def new_id(prefix: str) -> str:
    """A new id that sorts by time: the prefix, an underscore and a ULID (26 characters).

    >>> new_id("jrn")[:4], len(new_id("jrn"))
    ('jrn_', 30)
    """
    return f"{prefix}_{ULID()}"


def new_payment_id() -> str:
    """A new id of a payment: `pay_` and 128 random bits in 22 base-62 digits.

    >>> new_payment_id()[:4], len(new_payment_id())
    ('pay_', 26)
    """
    return "pay_" + base62(secrets.randbits(PAYMENT_ID_BITS), digits=PAYMENT_ID_DIGITS)


def base62(number: int, *, digits: int) -> str:
    """A non-negative number in base 62, padded with zeros on the left to `digits`.

    >>> base62(61, digits=3)
    '00z'
    """
    written = []
    for _ in range(digits):
        number, digit = divmod(number, 62)
        written.append(BASE62[digit])
    return "".join(reversed(written))
