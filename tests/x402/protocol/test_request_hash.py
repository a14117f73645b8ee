"""One hash per request that is sold, the same for two spellings of it and different for two requests (R21)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x402.protocol.errors import MalformedBody
from x402.protocol.request_hash import parse_body, request_hash


def hash_of(body=b"", *, content_type="application/json", method="POST", path="/a", query=(), route="a"):
    parsed = parse_body(body, content_type=content_type)
    return request_hash(method=method, origin_and_path=("https://shop.example", route, path), query=query, body=parsed)


def test_json_may_be_spelled_anew_between_the_two_legs():
    spellings = [
        b'{"max_tokens":10,"prompt":"h\xc3\xa9"}',
        b'{ "prompt" : "h\\u00e9",\n "max_tokens" : 10 }',
        b'{"prompt":"h\\u00E9","max_tokens":10.0}',
        b'{"prompt":"h\\u00E9","max_tokens":1e1}',
    ]

    assert len({hash_of(body) for body in spellings}) == 1
    assert hash_of(spellings[0]) == hash_of(spellings[0], content_type="Application/JSON; charset=utf-8")


def test_the_handler_gets_the_very_value_that_was_hashed():
    parsed = parse_body(b'{"n":1.0,"t":0.70}', content_type="application/json")

    assert (parsed.is_json, parsed.json) == (True, {"n": 1, "t": 0.7})
    assert isinstance(parsed.json["n"], int)


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b'{"a":2}'},
        {"body": b'{"a":"1"}'},
        {"body": b'{"a":1,"b":null}'},
        {"body": b'{"a":10000000000000000000000000001}'},
        {"body": b""},
        {"method": "PUT"},
        {"path": "/a/"},
        {"path": "/%2Fa"},
        {"route": "b"},
        {"query": [("a", "1")]},
        {"content_type": "text/plain"},
    ],
)
def test_anything_that_changes_what_is_sold_changes_the_hash(changes):
    base = {"body": b'{"a":1}'}

    assert hash_of(**(base | changes)) != hash_of(**base)


def test_the_order_of_a_query_does_not_matter_but_its_pairs_do():
    assert hash_of(query=[("a", "1"), ("b", "2")]) == hash_of(query=[("b", "2"), ("a", "1")])
    assert hash_of(query=[("a", "1"), ("a", "1")]) != hash_of(query=[("a", "1")])
    assert hash_of(query=[("a", "1b"), ("c", "")]) != hash_of(query=[("a", "1"), ("bc", "")])


def test_large_integers_that_a_float_would_merge_stay_apart():
    assert hash_of(b'{"a":9007199254740992}') != hash_of(b'{"a":9007199254740993}')


def multipart(boundary, *values):
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="f"\r\n\r\n{value}\r\n' for value in values]
    return ("".join(parts) + f"--{boundary}--\r\n").encode(), f"multipart/form-data; boundary={boundary}"


def test_the_random_boundary_of_a_multipart_body_is_not_hashed():
    (one, one_type), (other, other_type) = multipart("aaa", "x", "y"), multipart("a longer one", "x", "y")
    other_type = 'multipart/form-data; boundary="a longer one"'
    (third, third_type) = multipart("aaa", "x", "z")

    assert hash_of(one, content_type=one_type) == hash_of(other, content_type=other_type)
    assert hash_of(one, content_type=one_type) != hash_of(third, content_type=third_type)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"--x\r\n\r\n1\r\n--x--", "multipart/form-data"),
        (b"no boundary here", "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\n1\r\n", "multipart/form-data; boundary=x"),
        (b"--xy\r\n\r\n1\r\n--x--", "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\n1\r\n--x--", "multipart/form-data; boundary=" + "x" * 71),
        (b"--x" + b"\r\n\r\n1\r\n--x" * 200 + b"--", "multipart/form-data; boundary=x"),
        (b"x" * 65_537, "application/octet-stream"),
        (b"--x\r\n\r\n1\r\n--x--", "multipart/form-data; boundary*" + "9" * 5_000 + "=x"),
    ],
)
def test_a_body_that_breaks_its_media_types_promise_is_malformed(body, content_type):
    with pytest.raises(MalformedBody) as refused:
        parse_body(body, content_type=content_type)

    assert refused.value.code == "invalid_body"


@pytest.mark.parametrize("body", [b"{", b'{"a":1,"a":2}', b"NaN", b"\xff", b"[" * 60_000, b'{"a":"\\ud800"}'])
def test_json_with_other_than_one_reading_is_malformed(body):
    with pytest.raises(MalformedBody) as refused:
        parse_body(body, content_type="application/json")

    assert refused.value.code == "invalid_json"


def test_problem_and_vendor_json_are_json_too():
    assert parse_body(b'{"a": 1}', content_type="application/vnd.x+json").is_json
    assert not parse_body(b'{"a": 1}', content_type="text/json").is_json


@given(st.binary(max_size=300), st.text(max_size=60))
def test_no_body_and_no_media_type_raise_anything_but_malformed(body, content_type):
    try:
        hash_of(body, content_type=content_type)
    except MalformedBody:
        return


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_two_values_share_a_hash_exactly_when_they_are_equal(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (hash_of(json.dumps(one).encode()) == hash_of(json.dumps(other).encode())) == same
