"""JSON with exactly one reading, and its canonical bytes (rule R21, RFC 8785)."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x402.protocol.strict_json import InvalidJson, canonical_bytes, compact_bytes, parse, parse_object


def parsed(text):
    return parse(text, max_bytes=65_536)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0", 1),
        ("1e2", 100),
        ("-0", 0),
        ("-0.0", 0),
        ("0.7", 0.7),
        ("100000000000000000000000000001", 100000000000000000000000000001),
        ("1E30", 10**30),
        ("1.5e-3", 0.0015),
        ('"\\ud83d\\ude00"', "😀"),
        (" [1 , 2]\n", [1, 2]),
    ],
)
def test_a_number_is_what_it_is_worth(text, value):
    result = parsed(text)

    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":{"b":1,"b":2}}',
        '{"a":1,"\\u0061":2}',
        "NaN",
        "-Infinity",
        "1e400",
        "1e-400",
        "1e128",
        "0.1000000000000000055",
        "9" * 129,
        "01",
        "+1",
        ".5",
        "1.",
        "0x10",
        "１",
        "'a'",
        '"\n"',
        '"\\ud800"',
        '{"\\udfff":1}',
        "[1,]",
        "",
        "\u00a01",
        "[" * 33 + "]" * 33,
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(text):
    with pytest.raises(InvalidJson):
        parsed(text)


def test_thirty_two_levels_are_read_and_thirty_three_are_not():
    for opening, closing in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")):
        levels = 16 if opening == '[{"a":' else 32
        assert parsed(opening * levels + "1" + closing * levels) is not None
        with pytest.raises(InvalidJson):
            parsed("[" + opening * levels + "1" + closing * levels + "]")


def test_many_brackets_side_by_side_are_not_depth():
    assert parsed("[" + ",".join(["[{}]"] * 5_000) + "]") == [[{}]] * 5_000


def test_brackets_inside_strings_are_not_depth():
    text = json.dumps(["[" * 1_000, '"' + "{" * 1_000])

    assert parsed(text) == ["[" * 1_000, '"' + "{" * 1_000]


def test_an_object_is_asked_for_by_name():
    with pytest.raises(InvalidJson):
        parse_object("[]", max_bytes=10)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        ({"€": 1, "\r": 2, "\ufb33": 3, "1": 4, "😀": 5, "\x80": 6, "ö": 7}, None),
        (0.00001, "0.00001"),
        (1.5e-7, "1.5e-7"),
        (1e-7, "1e-7"),
        (-123.456, "-123.456"),
        ('\x00\x1f\x7f\u2028/<\\"', '"\\u0000\\u001f\x7f\u2028/<\\\\\\""'),
        (1.0, "1"),
        (2**60 + 1, "1152921504606846977"),
    ],
)
def test_canonical_bytes_follow_rfc_8785(value, text):
    expected = text.encode() if text else '{"\\r":2,"1":4,"\x80":6,"ö":7,"€":1,"😀":5,"\ufb33":3}'.encode()

    assert canonical_bytes(value) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\udfff": 1}])
def test_what_json_cannot_say_has_no_canonical_bytes(value):
    with pytest.raises(InvalidJson):
        canonical_bytes(value)


def test_the_wire_form_leaves_nulls_of_objects_out():
    assert compact_bytes({"a": None, "b": [None, {"c": None}], "d": "é"}) == b'{"b":[null,{}],"d":"\\u00e9"}'


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15).filter(
        lambda number: abs(number) > 1e-300 or number == 0
    )
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_canonical_bytes_are_a_fixed_point_and_keep_the_value(value):
    once = canonical_bytes(value)

    assert canonical_bytes(parsed(once)) == once
    assert parsed(once) == value


@given(JSON)
def test_spacing_and_key_order_do_not_change_canonical_bytes(value):
    loose = json.dumps(value, indent=2, ensure_ascii=True)

    assert canonical_bytes(parsed(loose)) == canonical_bytes(value)


@given(st.binary() | st.text() | st.text(alphabet='{}[]",:0123456789.eE+-\\utrfn ', max_size=60))
def test_no_input_raises_anything_but_invalid_json(data):
    try:
        value = parse(data, max_bytes=1_000)
    except InvalidJson:
        return
    canonical_bytes(value)


BOMBS = [b"[" * 65_000, b'{"a":' * 13_000, b'["' * 32_000, b"[" + b"9" * 65_000]
BOMBS += [b"[" * 40 + b'"' + b'\\"' * 32_000, b"[]" * 20 + b'"\\' * 20_000, b'"' * 60_000 + b"[" * 40]


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_body_sized_bomb_is_refused_in_under_ten_milliseconds(bomb):
    elapsed = []
    for _ in range(5):  # the best of five, on this thread's own clock: the machine has other work too
        started = time.thread_time()
        with pytest.raises(InvalidJson):
            parsed(bomb)
        elapsed.append(time.thread_time() - started)

    assert min(elapsed) < 0.010


def test_a_million_levels_are_refused_by_their_size():
    with pytest.raises(InvalidJson, match="longer than"):
        parsed(b"[" * 1_000_000)
