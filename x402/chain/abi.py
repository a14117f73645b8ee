"""The few shapes of Solidity's ABI this project speaks: static words, one bytes, and an array of calls.

Everything is a 32-byte word; dynamic values stand behind the words that point to them. Source: Solidity ABI, v2.
"""

from typing import Final

from x402.protocol.keccak import keccak256

WORD_BYTES: Final = 32


class UnreadableAnswer(ValueError):
    """Raised when a contract's answer has not the shape its ABI promises: mostly, there is no such contract."""


def selector(signature: str) -> bytes:
    """The first four bytes of a call. The signature is canonical, without names or spaces."""
    return keccak256(signature.encode("ascii"))[:4]


def topic(signature: str) -> str:
    """The topic of an event, as nodes write it."""
    return "0x" + keccak256(signature.encode("ascii")).hex()


def word(value: int | bytes) -> bytes:
    """A number, an address or a bytes32 as one word."""
    return value.to_bytes(WORD_BYTES, "big") if isinstance(value, int) else value.rjust(WORD_BYTES, b"\0")


def dynamic_bytes(data: bytes) -> bytes:
    """A bytes value as it stands behind its pointer: its length and its content, padded to whole words."""
    return word(len(data)) + data + bytes(-len(data) % WORD_BYTES)


def read_word(data: bytes, position: int) -> int:
    """The number in the word at this byte position. Raises UnreadableAnswer beyond the end."""
    chunk = data[position : position + WORD_BYTES]
    if position < 0 or len(chunk) != WORD_BYTES:
        raise UnreadableAnswer("the answer is shorter than its ABI promises")
    return int.from_bytes(chunk, "big")


def read_bytes(data: bytes, position: int) -> bytes:
    """The bytes value whose length stands at this position. Raises UnreadableAnswer beyond the end."""
    length = read_word(data, position)
    content = data[position + WORD_BYTES : position + WORD_BYTES + length]
    if len(content) != length:
        raise UnreadableAnswer("the answer is shorter than its ABI promises")
    return content


def address_of(text: str) -> bytes:
    """The 20 bytes of an address written in hex. Raises ValueError for anything else."""
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError(f"not an address: {text!r}")
    return raw
