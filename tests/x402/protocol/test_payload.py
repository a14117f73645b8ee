"""A payment's fields, wrong in every way: each gets the specification's word, none gets an exception of Python's."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.x402.protocol.signing import PAY_TO, PAYER, document_v1, document_v2, encoded, signed
from x402.protocol import headers
from x402.protocol.errors import PaymentRefused
from x402.protocol.headers import PaymentHeader
from x402.protocol.payload import Authorization, Permit2Authorization, read_document, read_payload


def payload_of(document):
    return read_payload(headers.read_payment(payment_signature=encoded(document), x_payment=None))


def changed(path, value):
    """The version 2 document with one field, named by a dotted path, replaced."""
    document = copy.deepcopy(document_v2())
    *parents, name = path.split(".")
    target = document
    for parent in parents:
        target = target[parent]
    if value is ABSENT:
        del target[name]
    else:
        target[name] = value
    return document


ABSENT = object()
AUTHORIZATION = "payload.authorization"


def test_both_versions_and_the_reference_form_parse_to_the_same_authorization():
    authorization = signed()
    proof = {
        "quote_id": "quo_7",
        "chain_id": 84532,
        "authorization": {
            "from": PAYER.address.lower(),
            "to": PAY_TO.upper().replace("0X", "0x"),
            "value": "2000",
            "valid_after": 0,
            "valid_before": authorization.valid_before,
            "nonce": "0x" + "AB" * 32,
            "v": authorization.signature[64],
            "r": "0x" + authorization.signature[:32].hex(),
            "s": "0x" + authorization.signature[32:64].hex(),
        },
    }

    v2 = payload_of(document_v2())
    v1 = read_payload(headers.read_payment(payment_signature=None, x_payment=encoded(document_v1())))
    reference = read_payload(headers.read_payment(payment_signature=None, x_payment=json.dumps(proof)))

    assert v2.authorization == v1.authorization == reference.authorization == authorization
    assert {v2.network, v1.network, reference.network} == {"eip155:84532"}
    assert reference.quote_id == "quo_7"


def test_letter_case_of_hex_does_not_make_another_payment():
    document = document_v2()
    fields = document["payload"]["authorization"]
    for name in ("from", "to", "nonce"):
        fields[name] = "0x" + fields[name][2:].upper()

    assert payload_of(document).authorization == signed()


def test_unknown_fields_are_ignored_and_kept_for_forwarding():
    document = document_v2(novelty={"a": [1]})

    assert payload_of(document).document == document


BAD_AMOUNTS = [
    "0x10",
    "1e3",
    " 2000",
    "2000 ",
    "+2000",
    "-1",
    "02000",
    "1_000",
    "１０００",
    "٢٠٠٠",
    "",
    "2000.0",
    "abc",
]
BAD_AMOUNTS += [2000, 2000.5, True, None, [], {}, "9" * 79, str(2**256), "2000\n", ABSENT]


@pytest.mark.parametrize("field", ["value", "validAfter", "validBefore"])
@pytest.mark.parametrize("amount", BAD_AMOUNTS)
def test_a_number_is_a_canonical_decimal_string_of_ascii_digits(field, amount):
    with pytest.raises(PaymentRefused) as refused:
        payload_of(changed(f"{AUTHORIZATION}.{field}", amount))

    assert refused.value.reason == "invalid_payload"


def test_the_largest_uint256_is_a_number():
    assert payload_of(changed(f"{AUTHORIZATION}.value", str(2**256 - 1))).authorization.value == 2**256 - 1


BAD_ADDRESSES = ["", "0x", PAY_TO[2:], PAY_TO + "00", PAY_TO[:-1], "0X" + PAY_TO[2:], PAY_TO + "\n", "0x" + "g" * 40]
BAD_ADDRESSES += ["0x" + "１" * 40, 7, None, True, [], ABSENT]


@pytest.mark.parametrize("field", ["from", "to"])
@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_an_address_is_twenty_bytes_in_hex(field, address):
    with pytest.raises(PaymentRefused) as refused:
        payload_of(changed(f"{AUTHORIZATION}.{field}", address))

    assert refused.value.reason == "invalid_payload"


@pytest.mark.parametrize("nonce", ["0x" + "ab" * 31, "0x" + "ab" * 33, "ab" * 32, "0x", "5", 5, None, ABSENT])
def test_a_nonce_is_thirty_two_bytes_in_hex(nonce):
    with pytest.raises(PaymentRefused) as refused:
        payload_of(changed(f"{AUTHORIZATION}.nonce", nonce))

    assert refused.value.reason == "invalid_payload"


@pytest.mark.parametrize("signature", ["0x1", "1b" * 65, "0xzz", None, 0, [], {}, "0x" + "00" * 8_193, ABSENT])
def test_a_signature_is_hex_of_bounded_length(signature):
    with pytest.raises(PaymentRefused) as refused:
        read_document(changed("payload.signature", signature))

    assert refused.value.reason == "invalid_payload"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("payload", ABSENT, "invalid_payload"),
        ("payload", [], "invalid_payload"),
        (AUTHORIZATION, ABSENT, "invalid_payload"),
        (AUTHORIZATION, "text", "invalid_payload"),
        ("accepted", ABSENT, "invalid_payload"),
        ("accepted", None, "invalid_payload"),
        ("accepted.scheme", ABSENT, "invalid_payload"),
        ("accepted.scheme", 7, "invalid_payload"),
        ("accepted.amount", 2000, "invalid_payload"),
        ("accepted.amount", "２０００", "invalid_payload"),
        ("accepted.maxTimeoutSeconds", "300", "invalid_payload"),
        ("accepted.maxTimeoutSeconds", True, "invalid_payload"),
        ("accepted.maxTimeoutSeconds", -1, "invalid_payload"),
        ("accepted.maxTimeoutSeconds", 0.5, "invalid_payload"),
        ("accepted.extra", [], "invalid_payload"),
        ("accepted.asset", None, "invalid_payload"),
        ("accepted.payTo", {}, "invalid_payload"),
        ("accepted.network", 84532, "invalid_payload"),
        ("accepted.network", "base-sepolia", "invalid_network"),
        ("accepted.network", "eip155:084532", "invalid_network"),
        ("accepted.network", "eip155:８４５３２", "invalid_network"),
        ("accepted.network", "eip155:*", "invalid_network"),
        ("accepted.network", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "invalid_network"),
        ("resource", "https://shop.example/", "invalid_payload"),
        ("resource", {}, "invalid_payload"),
        ("resource", {"url": 7}, "invalid_payload"),
        ("x402Version", 3, "invalid_x402_version"),
        ("x402Version", "2", "invalid_x402_version"),
        ("x402Version", True, "invalid_x402_version"),
    ],
)
def test_a_field_of_the_wrong_shape_is_named_by_the_specifications_word(path, value, reason):
    with pytest.raises(PaymentRefused) as refused:
        read_document(changed(path, value))

    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scheme": "upto"}, "unsupported_scheme"),
        ({"scheme": None}, "invalid_payload"),
        ({"network": "eip155:84532"}, "invalid_network"),
        ({"network": "base-sepolia-2"}, "invalid_network"),
        ({"network": 84532}, "invalid_payload"),
        ({"payload": {}}, "invalid_payload"),
    ],
)
def test_version_1_says_what_is_wrong_with_it(changes, reason):
    with pytest.raises(PaymentRefused) as refused:
        read_document(document_v1(**changes))

    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": "0x14a34"},
        {"chain_id": -1},
        {"chain_id": 0},
        {"chain_id": True},
        {"quote_id": "x" * 257},
        {"quote_id": 7},
        {"authorization": None},
    ],
)
def test_a_broken_reference_proof_is_refused(changes):
    fields = {"from": PAYER.address, "to": PAY_TO, "value": "1", "valid_after": 0, "valid_before": 1}
    fields |= {"nonce": "0x" + "00" * 32, "v": 27, "r": "0x" + "01" * 32, "s": "0x" + "01" * 32}
    proof = {"quote_id": "q", "chain_id": 84532, "authorization": fields} | changes

    with pytest.raises(PaymentRefused):
        read_payload(PaymentHeader("reference", proof))


def test_two_authorizations_in_one_payload_are_refused():
    document = changed("payload.permit2Authorization", {})

    with pytest.raises(PaymentRefused) as refused:
        read_document(document)

    assert refused.value.reason == "invalid_payload"


@pytest.mark.parametrize(
    ("info", "identifier"),
    [
        ({"id": "pay_7d5d747be160e280"}, "pay_7d5d747be160e280"),
        ({"id": "short"}, None),
        ({"id": "x" * 129}, None),
        ({"id": "pay 7d5d747be160e280"}, None),
        ({"id": 7}, None),
        (None, None),
    ],
)
def test_the_clients_payment_identifier_is_read_when_it_is_valid(info, identifier):
    payload = payload_of(document_v2(extensions={"payment-identifier": {"info": info}}))

    assert payload.payment_identifier == identifier


def test_the_echoed_quote_is_found_in_the_accepted_terms():
    document = changed("accepted.extra", {"name": "USDC", "version": "2", "quote": "TOKEN"})

    assert payload_of(document).quote_token == "TOKEN"
    assert payload_of(document_v2()).quote_token is None


@pytest.mark.parametrize("numbers", [{"value": -1}, {"valid_after": 2**256}, {"nonce": b"\0" * 31}, {"to": b""}])
def test_an_authorization_cannot_be_built_out_of_range(numbers):
    fields = {"from_": bytes(20), "to": bytes(20), "value": 1, "valid_after": 0, "valid_before": 1}
    fields |= {"nonce": bytes(32), "signature": b""}

    with pytest.raises(ValueError, match="an authorization"):
        Authorization(**(fields | numbers))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["0x" + "ab" * 20, "0x" + "ab" * 32, "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PATHS = ["payload", AUTHORIZATION, "payload.signature", "accepted", "accepted.extra", "resource", "extensions"]
PATHS += [f"{AUTHORIZATION}.{name}" for name in ("from", "to", "value", "validAfter", "validBefore", "nonce")]
PATHS += [f"accepted.{name}" for name in ("scheme", "network", "asset", "amount", "payTo", "maxTimeoutSeconds")]


@given(st.sampled_from(PATHS), JSON)
def test_no_value_in_any_field_raises_anything_but_a_refusal(path, value):
    try:
        payload = read_document(changed(path, value) if path != "extensions" else document_v2(extensions=value))
    except PaymentRefused:
        return
    assert isinstance(payload.authorization, Authorization | Permit2Authorization)


@given(st.dictionaries(st.text(), JSON, max_size=4), st.sampled_from(["v1", "v2", "reference"]))
def test_no_document_raises_anything_but_a_refusal(document, form):
    with pytest.raises(PaymentRefused):
        read_payload(PaymentHeader(form, document))
