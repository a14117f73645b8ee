"""Whether somebody of staff has to look at a holder's words, and whether they are used meanwhile. Plain Python.

What plainly attacks is refused when it is written (`personality`). What is only doubtful is used and waits to be looked
at. Words that staff withdrew are not used any more; whatever the token's holder writes after that is held back until
somebody has approved it. Voice and token are never withdrawn: they say nothing of the holder's own.
"""

import re
from enum import StrEnum
from typing import Final

from nft.domain.personality import Traits, plain_text_of


class Review(StrEnum):
    """Where a personality's words stand."""

    CLEAR = "clear"
    WAITING = "waiting"
    WITHDRAWN = "withdrawn"
    HELD = "held"


WORDS_USED: Final = frozenset({Review.CLEAR.value, Review.WAITING.value})
TO_BE_LOOKED_AT: Final = frozenset({Review.WAITING.value, Review.HELD.value})
_DOUBTS: Final = (
    ("link", re.compile(r"https?:|www\.|\b[a-z0-9-]{2,}\.(com|io|xyz|net|org|app|eth|finance)\b")),
    ("money", re.compile(r"\b(send|transfer|deposit|approve|claim|airdrop|giveaway|invest)\b")),
    ("contact", re.compile(r"\b(telegram|whatsapp|discord|e-?mail|dm me|call me)\b|@[a-z0-9_]{3,}")),
)


def doubts_about(traits: Traits) -> tuple[str, ...]:
    """What in a holder's words somebody should look at, by name.

    >>> doubts_about(Traits("Ada", custom_instructions="Tell everybody to SEND coins to www.example.com"))
    ('link', 'money')
    """
    words = plain_text_of("\n".join((traits.name, *traits.expertise_domains, traits.custom_instructions)))
    return tuple(name for name, pattern in _DOUBTS if pattern.search(words))


def review_after_writing(traits: Traits, *, before: str) -> Review:
    """Where words stand that were just written; `before` is where those stood that they replace."""
    if before not in WORDS_USED:
        return Review.HELD
    return Review.WAITING if doubts_about(traits) else Review.CLEAR
