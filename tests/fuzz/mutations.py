"""Good messages made bad: at the value, in the JSON text, in the base64 around it. One random source decides all."""

import base64
import copy
import json
import random
from collections.abc import Callable
from typing import Any

Document = dict[str, Any]

# What parsers in other languages read differently, and what Python's own functions accept or choke on.
NASTY_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**256,
    2**53 + 1,
    10**100,
    1.5,
    1e308,
    "",
    " ",
    "0x",
    "0X" + "ab" * 20,
    "١٢٣",
    "１００００",
    "²",
    "1_000",
    "+1",
    "-0",
    "1e4",
    "01",
    "9" * 79,
    "9" * 5_000,
    "\x00",
    "a\nb",
    "\u202e",
    "🪙",
    "ſ",
    [],
    {},
    [[]],
    {"x402Version": 2},
    "eip155:84532",
    "eip155:" + "9" * 40,
    "base-sepolia",
    "exact",
    "upto",
    "x" * 3_000,
)
NASTY_TEXTS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "1e-400",
    "1E+5",
    "0.1000000000000000055511151231257827",
    "9" * 4_400,
    "-",
    "01",
    "1.",
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\u0000"',
    '"\\x41"',
    "'a'",
    "[" * 40 + "]" * 40,
    "[" * 2_000,
    '{"a":' * 500,
    "/**/",
    "\ufeff",
    "\u2028",
    "tru",
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
)
NASTY_BYTES = (
    b"\x00",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\\",
    b'"',
)
NASTY_SIGNS = ("=", "==", "===", ",", " ", "\t", "-", "_", "é", "Ａ", "\x00", "\n", "%", "{", "\ud800", "A" * 17_000)


def changed_document(document: Document, dice: random.Random) -> Document:
    """A copy with one to three members replaced, removed, renamed or moved."""
    changed = copy.deepcopy(document)
    for _ in range(dice.randint(1, 3)):
        holder, name = dice.choice(_places(changed) or [(changed, "x402Version")])
        match dice.randrange(4):
            case 0:
                holder.pop(name, None)
            case 1:
                holder[str(dice.choice(("from", "FROM", "x402version", "__proto__", "payload", name + " ")))] = (
                    holder.get(name)
                )
            case 2:
                holder[name] = _near(holder.get(name), dice)
            case _:
                holder[name] = copy.deepcopy(dice.choice(NASTY_VALUES))
    return changed


def changed_text(text: str, dice: random.Random) -> str:
    """A JSON text cut, doubled, or with one value replaced by a text that is no or another value."""
    match dice.randrange(6):
        case 0:
            return text[: dice.randrange(len(text) + 1)]
        case 1:
            at = dice.randrange(len(text) + 1)
            return text[:at] + dice.choice(NASTY_TEXTS) + text[at:]
        case 2:
            return text + dice.choice(("", " ", text, "null", "\x00"))
        case 3:
            start, end = sorted((dice.randrange(len(text) + 1), dice.randrange(len(text) + 1)))
            return text[:end] + text[start:]
        case 4:
            colons = [at for at, sign in enumerate(text) if sign == ":"]
            at = dice.choice(colons) if colons else 0
            end = min((found for found in (text.find(",", at), text.find("}", at)) if found > 0), default=len(text))
            return text[: at + 1] + dice.choice(NASTY_TEXTS) + text[end:]
        case _:
            return text.replace("{", '{"x402Version":2,', 1)


def changed_bytes(raw: bytes, dice: random.Random) -> bytes:
    """Bytes flipped, cut or put in."""
    if not raw:
        return dice.choice(NASTY_BYTES)
    at = dice.randrange(len(raw))
    match dice.randrange(3):
        case 0:
            return raw[:at] + bytes([raw[at] ^ 1 << dice.randrange(8)]) + raw[at + 1 :]
        case 1:
            return raw[:at] + dice.choice(NASTY_BYTES) + raw[at:]
        case _:
            return raw[:at]


def changed_line(line: str, dice: random.Random) -> str:
    """A header's or token's text with signs put in, taken out or swapped."""
    at = dice.randrange(len(line) + 1)
    match dice.randrange(4):
        case 0:
            return line[:at]
        case 1:
            return line[:at] + dice.choice(NASTY_SIGNS) + line[at:]
        case 2:
            return line[:at] + chr(dice.choice((dice.randrange(128), dice.randrange(0x300)))) + line[at + 1 :]
        case _:
            return line.translate(str.maketrans("+/", "-_")).rstrip("=") + dice.choice(("", "=", "===", "A"))


def header_of(document: Document, dice: random.Random, *, changes: int) -> str:
    """The base64 header of a document, changed at the layers whose bits are set: 1 value, 2 text, 4 bytes, 8 base64."""
    if changes & 1:
        document = changed_document(document, dice)
    text = json.dumps(document, ensure_ascii=bool(dice.randrange(2)))
    if changes & 2:
        text = changed_text(text, dice)
    raw = text.encode("utf-8", "surrogatepass")
    if changes & 4:
        raw = changed_bytes(raw, dice)
    line = base64.b64encode(raw).decode()
    return changed_line(line, dice) if changes & 8 else line


def _near(value: Any, dice: random.Random) -> Any:
    """Another value of the same kind, just beside the good one."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return dice.choice((value + 1, value - 1, -value, str(value), float(value), value * 2**64))
    if isinstance(value, str):
        kinds: tuple[Callable[[str], str], ...] = (str.upper, str.swapcase, str.title, lambda text: text[:-1])
        return dice.choice((dice.choice(kinds)(value), value + "0", value + "\n", " " + value, [value]))
    return [value]


def _places(value: Any) -> list[tuple[Document, str]]:
    """Every member of every object in a value."""
    if isinstance(value, dict):
        own = [(value, name) for name in value]
        return own + [place for member in value.values() for place in _places(member)]
    return [place for item in value for place in _places(item)] if isinstance(value, list) else []
