"""JSON that has one reading: parsed once, refused when two parsers could disagree, and written in one canonical form.

Refused: duplicate keys, NaN and Infinity, lone surrogates, nesting or size beyond a limit, and numbers that a float
would change. A number is what it is worth: `1.0` and `1e0` are the integer 1, integers of any size stay exact, and a
fraction is a float only when that float writes the same digits again. So equal values have equal bytes, different
values different bytes, and a handler sees exactly what was hashed (rule R21).

The canonical form is RFC 8785, with one widening: integers beyond 2**53 are written in all their digits, where the RFC,
which knows only floats, would merge neighbours.
"""

import json
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Final, NoReturn, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, "JsonValue"]

MAX_DEPTH: Final = 32  # no message of the protocol is deeper than 8; recursion stays far from the interpreter's limit
MAX_NUMBER_CHARACTERS: Final = 128  # a uint256 has 78 digits
MAX_EXPONENT: Final = 308  # the largest power of ten a float can hold; what is larger only costs memory
MAX_ROUND_TRIP_DIGITS: Final = 15  # every decimal of so few digits comes back unchanged from a double (DBL_DIG)
_PLAIN_FRACTION: Final = re.compile(r"-?[0-9]+\.[0-9]+", re.ASCII)
# Closed or not, a string is one token: a quote that never closes must not be searched for again and again.
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_ONE_KIND_OF_BRACKET: Final = bytes.maketrans(b"{}", b"[]")
_NOT_A_BRACKET: Final = bytes(sorted(set(range(256)) - set(b"{}[]")))
_LOOKS_LIKE_A_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class InvalidJson(ValueError):
    """Raised when text is not JSON with exactly one reading. The message says which rule it breaks."""


def parse(data: bytes | str, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> JsonValue:
    """The one value this JSON text stands for.

    Raises InvalidJson, in time linear in `max_bytes`, for anything else. Source: RFC 8259, RFC 7493 (I-JSON).
    """
    if len(data) > max_bytes:
        raise InvalidJson(f"longer than {max_bytes} bytes")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidJson("not UTF-8") from None
    _require_depth(text, max_depth)
    try:
        value: JsonValue = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidJson(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise InvalidJson("nested too deeply") from None
    if "\\u" in text and _LOOKS_LIKE_A_SURROGATE.search(text) and not _is_encodable(value):
        raise InvalidJson("a string holds half of a surrogate pair")
    return value


def parse_object(data: bytes | str, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> JsonObject:
    """Like `parse`, and raises InvalidJson when the value is not an object."""
    value = parse(data, max_bytes=max_bytes, max_depth=max_depth)
    if not isinstance(value, dict):
        raise InvalidJson("not an object")
    return value


def canonical_bytes(value: JsonValue) -> bytes:
    """The one spelling of this value: keys in UTF-16 order, shortest numbers, no spaces.

    Raises InvalidJson for what JSON cannot say (NaN, half a surrogate pair). Source: RFC 8785 §3.2.
    """
    parts: list[str] = []
    _write(value, parts)
    try:
        return "".join(parts).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidJson("a string holds half of a surrogate pair") from None


def compact_bytes(value: JsonValue) -> bytes:
    """Short JSON for the wire, members of objects that are None left out: clients of version 1 refuse nulls."""
    text = _compact(value)
    if "null" in text:  # only then is there anything to leave out, and walking the value costs more than writing it
        text = _compact(_without_nulls(value))
    return text.encode("ascii")


def _compact(value: JsonValue) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _without_nulls(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _require_depth(text: str, max_depth: int) -> None:
    """Refuse deep nesting before the recursive parser sees it; short texts with few brackets pay one count.

    Of the brackets alone, each round takes the innermost level away. What is left after `max_depth` rounds is too deep
    or does not match, and no JSON either way.
    """
    if text.count("[") + text.count("{") <= max_depth:
        return
    bare = _STRING.sub("", text).encode("utf-8", "replace")
    brackets = bare.translate(_ONE_KIND_OF_BRACKET, _NOT_A_BRACKET)
    too_deep = b"[" * (max_depth + 1)
    for _ in range(max_depth):
        before = len(brackets)
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return
        if len(brackets) == before or too_deep in brackets:
            break
    raise InvalidJson(f"nested deeper than {max_depth}, or with brackets that do not match")


def _unique_members(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidJson("an object names a key twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not a JSON number")


def _exact_integer(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise InvalidJson(f"a number is longer than {MAX_NUMBER_CHARACTERS} characters")
    return int(text)


def _exact_number(text: str) -> int | float:
    """An integer where the fraction is worth nothing, else a float that says the same digits again."""
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise InvalidJson(f"a number is longer than {MAX_NUMBER_CHARACTERS} characters")
    if len(text) <= MAX_ROUND_TRIP_DIGITS and _PLAIN_FRACTION.fullmatch(text):
        near = float(text)
        return int(near) if near.is_integer() else near
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise InvalidJson("a number has an exponent out of range") from None
    if not exact:
        return 0
    if abs(exact.adjusted()) > MAX_EXPONENT:
        raise InvalidJson("a number has an exponent out of range")
    if exact == exact.to_integral_value():
        return _exact_integer(format(exact, ".0f"))  # `1e300` too has a limit: what was read can be read again
    nearest = float(text)
    if Decimal(repr(nearest)) != exact:
        raise InvalidJson("a number has more digits than a double can hold")
    return nearest


def _is_encodable(value: JsonValue) -> bool:
    try:
        canonical_bytes(value)
    except InvalidJson:
        return False
    return True


def _write(value: JsonValue, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(encode_basestring(value))
    elif isinstance(value, dict):
        _write_object(value, parts)
    elif isinstance(value, list):
        _write_list(value, parts)
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif value is None:
        parts.append("null")
    elif isinstance(value, int):
        parts.append(str(value))
    else:
        parts.append(_shortest(value))


def _write_list(items: Sequence[JsonValue], parts: list[str]) -> None:
    parts.append("[")
    for position, item in enumerate(items):
        if position:
            parts.append(",")
        _write(item, parts)
    parts.append("]")


def _write_object(members: JsonObject, parts: list[str]) -> None:
    parts.append("{")
    # Among ASCII keys the order of characters is the order of UTF-16 units.
    keys = sorted(members) if all(map(str.isascii, members)) else sorted(members, key=_utf16_order)
    for position, key in enumerate(keys):
        if position:
            parts.append(",")
        parts.append(encode_basestring(key))
        parts.append(":")
        _write(members[key], parts)
    parts.append("}")


def _utf16_order(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _shortest(value: float) -> str:
    """ECMAScript's spelling of a double (RFC 8785 §3.2.2.3)."""
    if value != value or value in (float("inf"), float("-inf")):
        raise InvalidJson("not a JSON number")
    if value.is_integer():
        return str(int(value))
    plain = repr(value)
    if "e" not in plain:
        return plain
    sign, digits, exponent = Decimal(plain).as_tuple()
    if not isinstance(exponent, int):
        raise InvalidJson("not a JSON number")
    text = "".join(map(str, digits))
    point = len(text) + exponent  # where the decimal point stands, counted from the first digit
    minus = "-" if sign else ""
    if 0 < point <= 21:
        return f"{minus}{text[:point]}.{text[point:]}"
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
    return f"{minus}{mantissa}e{point - 1:+d}"


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_float=_exact_number,
    parse_int=_exact_integer,
    parse_constant=_refuse_constant,
)
