"""Sign-in-with-x proofs: the message is EIP-4361's, the signer is the address, and every field is bound."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from tests.x402.protocol.signing import PAYER, STRANGER, encoded
from x402.protocol import siwx
from x402.protocol.errors import MalformedPayment, SignInRefused

ORIGIN = "https://shop.example"
NOW = datetime(2027, 1, 15, 8, 1, tzinfo=UTC)
FIELDS = {
    "domain": "shop.example",
    "address": PAYER.address,
    "uri": "https://shop.example/report/7",
    "version": "1",
    "chainId": "eip155:84532",
    "type": "eip191",
    "nonce": "a1b2c3d4e5f6a7b8",
    "issuedAt": "2027-01-15T08:00:00.000Z",
}
OPTIONAL = {
    "statement": "Spend your credit.",
    "expirationTime": "2027-01-15T08:05:00Z",
    "notBefore": "2027-01-15T08:00:00+00:00",
    "requestId": "r-1",
    "resources": ["https://shop.example/report/7", "https://shop.example/b"],
}


def expected_message(fields):
    """EIP-4361's text, written here a second time."""
    lines = [f"{fields['domain']} wants you to sign in with your Ethereum account:", fields["address"], ""]
    lines += [fields["statement"], ""] if "statement" in fields else [""]
    lines += [f"URI: {fields['uri']}", f"Version: {fields['version']}", "Chain ID: 84532"]
    lines += [f"Nonce: {fields['nonce']}", f"Issued At: {fields['issuedAt']}"]
    labels = {"expirationTime": "Expiration Time", "notBefore": "Not Before", "requestId": "Request ID"}
    lines += [f"{label}: {fields[name]}" for name, label in labels.items() if name in fields]
    lines += ["Resources:", *(f"- {uri}" for uri in fields["resources"])] if "resources" in fields else []
    return "\n".join(lines)


def header(fields, *, key=PAYER, **overrides):
    signature = key.sign_message(encode_defunct(text=expected_message(fields))).signature
    return encoded(fields | {"signature": "0x" + bytes(signature).hex()} | overrides)


@pytest.mark.parametrize("fields", [FIELDS, FIELDS | OPTIONAL])
def test_a_wallet_that_signed_the_message_is_named(fields):
    proof = siwx.read_header(header(fields))

    assert proof.message == expected_message(fields)
    assert siwx.require_valid(proof, origin=ORIGIN, now=NOW) == bytes.fromhex(PAYER.address[2:])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"domain": "evil.example"}, "invalid_siwx_domain_mismatch"),
        ({"uri": "https://evil.example/"}, "invalid_siwx_uri_mismatch"),
        ({"uri": "http://shop.example/"}, "invalid_siwx_uri_mismatch"),
        ({"uri": "https://shop.example.evil/"}, "invalid_siwx_uri_mismatch"),
        ({"uri": "https://[::1"}, "invalid_siwx_uri_mismatch"),
        ({"version": "2"}, "invalid_siwx_signature"),
        ({"issuedAt": "2027-01-15T07:55:59Z"}, "invalid_siwx_issued_at_too_old"),
        ({"issuedAt": "2027-01-15T08:01:01Z"}, "invalid_siwx_issued_at_in_future"),
        ({"issuedAt": "yesterday"}, "invalid_siwx_issued_at"),
        ({"issuedAt": "2027-01-15T08:00:00"}, "invalid_siwx_issued_at"),
        ({"issuedAt": "2027-02-30T08:00:00Z"}, "invalid_siwx_issued_at"),
        ({"expirationTime": "2027-01-15T08:01:00Z"}, "invalid_siwx_expired"),
        ({"expirationTime": "soon"}, "invalid_siwx_expiration_time"),
        ({"notBefore": "2027-01-15T08:01:01Z"}, "invalid_siwx_not_yet_valid"),
    ],
)
def test_a_proof_for_something_else_or_another_time_is_refused(changes, code):
    proof = siwx.read_header(header(FIELDS | changes))

    with pytest.raises(SignInRefused) as refused:
        siwx.require_valid(proof, origin=ORIGIN, now=NOW)

    assert refused.value.code == code


def test_the_age_is_the_callers():
    proof = siwx.read_header(header(FIELDS))

    with pytest.raises(SignInRefused):
        siwx.require_valid(proof, origin=ORIGIN, now=NOW, max_age=timedelta(seconds=59))


def test_a_stranger_cannot_sign_in_as_the_wallet():
    proof = siwx.read_header(header(FIELDS, key=STRANGER))

    with pytest.raises(SignInRefused) as refused:
        siwx.require_valid(proof, origin=ORIGIN, now=NOW)

    assert refused.value.code == "invalid_siwx_signature"


@pytest.mark.parametrize("field", ["nonce", "uri", "issuedAt", "chainId"])
def test_a_field_changed_after_signing_is_noticed(field):
    changes = {"nonce": "b" * 16, "uri": ORIGIN + "/x", "issuedAt": "2027-01-15T08:00:01Z", "chainId": "eip155:1"}
    proof = siwx.read_header(header(FIELDS, **{field: changes[field]}))

    with pytest.raises(SignInRefused) as refused:
        siwx.require_valid(proof, origin=ORIGIN, now=NOW)

    assert refused.value.code == "invalid_siwx_signature"


@pytest.mark.parametrize(
    "overrides",
    [
        {"statement": "two\nlines"},
        {"domain": "shop.example\r\nURI: x"},
        {"domain": "shоp.example"},
        {"nonce": "a\nb"},
        {"resources": "x"},
        {"resources": ["x\n"]},
        {"resources": ["x"] * 9},
        {"address": None},
        {"version": 1},
        {"uri": ""},
    ],
)
def test_a_field_that_is_not_one_printable_line_is_malformed(overrides):
    with pytest.raises(MalformedPayment):
        siwx.read_header(header(FIELDS, **overrides))


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        ({"chainId": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"}, "invalid_siwx_unsupported_chain"),
        ({"chainId": "base"}, "invalid_siwx_unsupported_chain"),
        ({"type": "ed25519"}, "invalid_siwx_malformed_signature"),
        ({"signatureScheme": "eip1271"}, "invalid_siwx_malformed_signature"),
        ({"signature": "0x00"}, "invalid_siwx_malformed_signature"),
        ({"address": "0x00"}, "invalid_siwx_malformed_signature"),
        ({"nonce": "short"}, "invalid_siwx_nonce"),
        ({"nonce": "with-dashes-in-it"}, "invalid_siwx_nonce"),
    ],
)
def test_what_is_not_a_key_on_an_evm_chain_is_refused(overrides, code):
    with pytest.raises(SignInRefused) as refused:
        siwx.read_header(header(FIELDS, **overrides))

    assert refused.value.code == code


def test_the_challenge_has_the_extensions_shape():
    challenge = siwx.Challenge(
        domain="shop.example",
        uri=FIELDS["uri"],
        nonce="a1b2c3d4",
        issued_at="2027-01-15T08:00:00Z",
        expiration_time="2027-01-15T08:05:00Z",
        statement="Spend your credit.",
        networks=("eip155:84532",),
    )

    extension = challenge.to_extension()

    assert extension["info"]["nonce"] == "a1b2c3d4"
    assert extension["supportedChains"] == [{"chainId": "eip155:84532", "type": "eip191"}]
    assert set(extension["schema"]["required"]) == {*FIELDS, "signature"}


@given(st.dictionaries(st.sampled_from([*FIELDS, *OPTIONAL, "signature"]), st.text() | st.integers() | st.none()))
def test_no_document_raises_anything_but_a_refusal(document):
    value = base64.b64encode(json.dumps(FIELDS | document).encode()).decode()

    with pytest.raises((MalformedPayment, SignInRefused)):
        siwx.read_header(value)
