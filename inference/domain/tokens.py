"""Our own token counter, and the tokenizer of the demo model: one documented rule, no vocabulary file.

A token is, reading from the left:

1. up to four Latin letters, together with one space before them;
2. or up to three decimal digits, together with one space before them;
3. or one other visible character, together with one space before it;
4. or up to four characters of white space that none of the above has taken.

Joining the tokens gives the text back, every character belongs to exactly one token, and the count grows
linearly with the text. For English it lies slightly above what byte-pair tokenizers report, which is what a
quote needs: the count is the most a buyer pays for the input (`quoted` in a completion), whatever an upstream claims.
A chat adds fixed amounts, because a model reads the role markers as well.
"""

import re
from collections.abc import Iterable

_TOKEN = re.compile(r" ?[A-Za-z]{1,4}| ?[0-9]{1,3}| ?[^\sA-Za-z0-9]|\s{1,4}")

TOKENS_PER_MESSAGE = 4  # the markers that open a message, name its role and close it
TOKENS_BEFORE_ANSWER = 2  # the markers after which a model starts to write


def tokenize(text: str) -> list[str]:
    """Split `text` into tokens; joined, they are the text again."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """How many tokens `text` has. Units: tokens."""
    return len(_TOKEN.findall(text))


def count_prompt_tokens(contents: Iterable[str]) -> int:
    """How many tokens a model reads when given messages with these contents. Units: tokens."""
    return TOKENS_BEFORE_ANSWER + sum(TOKENS_PER_MESSAGE + count_tokens(content) for content in contents)
