"""The demonstration model: a fixed rule, not a language model, and it says so in every answer.

It describes what it was sent (turns, words, tokens), quotes the last message, and ends with a fingerprint of the
conversation. The same messages always get the same answer. Its tokenizer is `inference.domain.tokens`; the
token counts it reports are counts of exactly what it read and wrote, and it stops at `max_tokens`.
"""

import hashlib
from dataclasses import dataclass

from inference.domain.chat import Message
from inference.domain.prices import Usage
from inference.domain.tokens import count_prompt_tokens, tokenize

NAME = "loa-demo"
QUOTED_CHARACTERS = 200  # enough to recognise one's own question


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    """An answer with the true counts behind it. `finish_reason` is `stop`, or `length` when it was cut."""

    text: str
    usage: Usage
    finish_reason: str


def answer(messages: tuple[Message, ...], *, max_tokens: int) -> DemoAnswer:
    """Answer a conversation with at most `max_tokens` tokens; deterministic."""
    input_tokens = count_prompt_tokens(message.content for message in messages)
    written = tokenize(_compose(messages, input_tokens))
    kept = written[:max_tokens]
    return DemoAnswer(
        text="".join(kept),
        usage=Usage(input_tokens=input_tokens, output_tokens=len(kept)),
        finish_reason="stop" if len(kept) == len(written) else "length",
    )


def _compose(messages: tuple[Message, ...], input_tokens: int) -> str:
    last = messages[-1].content.strip()
    quoted = last if len(last) <= QUOTED_CHARACTERS else f"{last[:QUOTED_CHARACTERS]}…"
    turns = "one message" if len(messages) == 1 else f"{len(messages)} messages"
    words = sum(len(message.content.split()) for message in messages)
    return (
        f"You wrote: “{quoted}” "
        f"I am {NAME}, a built-in demonstration and not a language model: I read {turns}, {words} words and "
        f"{input_tokens} tokens, and I answer the same request the same way every time. "
        f"Fingerprint of this conversation: {_fingerprint(messages)}."
    )


def _fingerprint(messages: tuple[Message, ...]) -> str:
    digest = hashlib.sha256()
    for message in messages:
        for part in (message.role, message.content):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()[:16]
