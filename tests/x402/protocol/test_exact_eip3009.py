"""The local checks of an EIP-3009 payment: every field wrong gets its own reason, every boundary is exact."""

import copy

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.x402.protocol.signing import DOMAIN, NOW, PAYER, STRANGER, TRANSFER, USDC, message, requirements, signed
from x402.protocol import eip712
from x402.protocol.errors import PaymentRefused
from x402.protocol.schemes import exact_eip3009
from x402.protocol.schemes.exact_eip3009 import ChainQuestions, require_valid

SIGNATURE = "invalid_exact_evm_payload_signature"
OTHER = "0x" + "77" * 20


def reason_of(authorization, *, now=NOW, terms=None, **budget):
    with pytest.raises(PaymentRefused) as refused:
        require_valid(terms or requirements(), authorization, now=now, **budget)
    return refused.value.reason


def resigned(authorization, signature):
    """The same authorization with other signature bytes."""
    other = copy.copy(authorization)
    object.__setattr__(other, "signature", signature)
    return other


def test_a_good_payment_leaves_only_questions_for_the_chain():
    questions = require_valid(requirements(), signed(), now=NOW)

    assert questions == ChainQuestions(
        asset=bytes.fromhex(USDC[2:]), payer=bytes.fromhex(PAYER.address[2:]), nonce=b"\xab" * 32, value=2_000
    )


@pytest.mark.parametrize("value", [0, 1, 1_999, 2_001, 2**256 - 1])
def test_exact_means_equal_and_overpaying_is_refused_too(value):
    assert reason_of(signed(value=value)) == "invalid_exact_evm_payload_authorization_value_mismatch"


def test_another_recipient_is_refused():
    assert reason_of(signed(to=OTHER)) == "invalid_exact_evm_payload_recipient_mismatch"


@pytest.mark.parametrize(
    ("valid_before", "reason"),
    [
        (0, "invalid_exact_evm_payload_authorization_valid_before"),
        (NOW, "invalid_exact_evm_payload_authorization_valid_before"),
        (NOW + 5, "invalid_exact_evm_payload_authorization_valid_before"),
        (NOW + 6, None),
        (2**256 - 1, None),
    ],
)
def test_the_remaining_lifetime_must_cover_the_settlement_budget(valid_before, reason):
    authorization = signed(validBefore=valid_before)

    if reason is None:
        require_valid(requirements(), authorization, now=NOW)
    else:
        assert reason_of(authorization) == reason


def test_the_settlement_budget_is_the_callers():
    authorization = signed(validBefore=NOW + 20)

    require_valid(requirements(), authorization, now=NOW, settlement_budget_seconds=20)
    reason = reason_of(authorization, settlement_budget_seconds=21)

    assert reason == "invalid_exact_evm_payload_authorization_valid_before"


@pytest.mark.parametrize(("valid_after", "is_valid"), [(0, True), (NOW - 1, True), (NOW, False), (NOW + 30, False)])
def test_valid_after_is_strict_as_the_token_is(valid_after, is_valid):
    authorization = signed(validAfter=valid_after)

    if is_valid:
        require_valid(requirements(), authorization, now=NOW)
    else:
        assert reason_of(authorization) == "invalid_exact_evm_payload_authorization_valid_after"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "USD Coin"},
        {"version": "1"},
        {"chainId": 8453},
        {"verifyingContract": OTHER},
    ],
)
def test_a_signature_for_another_domain_is_refused(change):
    assert reason_of(signed(domain=DOMAIN | change)) == SIGNATURE


def test_a_stranger_cannot_sign_for_the_payer():
    assert reason_of(signed(key=STRANGER)) == SIGNATURE


@pytest.mark.parametrize("field", ["from", "validAfter", "validBefore", "nonce"])
def test_a_field_changed_after_signing_breaks_the_signature(field):
    changes = {"from": STRANGER.address, "validAfter": 1, "validBefore": NOW + 301, "nonce": "0x" + "ac" * 32}

    altered = resigned(signed(**{field: changes[field]}), signed().signature)

    assert reason_of(altered) == SIGNATURE


def high_s_twin(signature):
    s = eip712.SECP256K1_ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


@pytest.mark.parametrize(
    "forge",
    [
        high_s_twin,
        lambda signature: signature[:64] + bytes([signature[64] - 27]),
        lambda signature: signature[:64] + bytes([55 - signature[64]]),
        lambda signature: signature[:64] + b"\x1d",
        lambda signature: signature[:64] + b"\x23",
        lambda signature: signature[:64],
        lambda signature: signature + b"\x00",
        lambda signature: bytes(32) + signature[32:],
        lambda signature: signature[:32] + bytes(32) + signature[64:],
        lambda signature: bytes(64) + b"\x1b",
        lambda signature: eip712.SECP256K1_ORDER.to_bytes(32, "big") + signature[32:],
        lambda signature: b"\xff" * 64 + b"\x1b",
        lambda signature: b"",
        lambda signature: bytes(32) + signature + bytes.fromhex("6492" * 16),
        lambda signature: signature[32:64] + signature[:32] + signature[64:],
    ],
    ids=[
        "high-s twin",
        "v 0 or 1",
        "other v",
        "v 29",
        "v 35",
        "64 bytes",
        "66 bytes",
        "zero r",
        "zero s",
        "all zero",
        "r is the order",
        "all ones",
        "empty",
        "6492 wrapper",
        "r and s swapped",
    ],
)
def test_only_the_canonical_form_of_a_signature_counts(forge):
    authorization = signed()

    assert reason_of(resigned(authorization, forge(authorization.signature))) == SIGNATURE


def test_terms_without_a_token_domain_cannot_be_paid():
    assert reason_of(signed(), terms=requirements(extra={"name": "USDC"})) == "missing_eip712_domain"


def test_checks_run_in_the_specifications_order():
    wrong = signed(key=STRANGER, to=OTHER, value=1, validBefore=0, validAfter=NOW)
    wrong_amount = signed(key=STRANGER, value=1, validBefore=0, validAfter=NOW)
    wrong_window = signed(key=STRANGER, validBefore=0, validAfter=NOW)
    not_yet = signed(key=STRANGER, validAfter=NOW)

    assert [reason_of(each) for each in (wrong, wrong_amount, wrong_window, not_yet, signed(key=STRANGER))] == [
        "invalid_exact_evm_payload_recipient_mismatch",
        "invalid_exact_evm_payload_authorization_value_mismatch",
        "invalid_exact_evm_payload_authorization_valid_before",
        "invalid_exact_evm_payload_authorization_valid_after",
        SIGNATURE,
    ]


@given(
    st.integers(0, 2**256 - 1),
    st.integers(0, 2**256 - 1),
    st.integers(0, 2**256 - 1),
    st.binary(min_size=32, max_size=32),
)
def test_our_digest_is_the_one_wallets_sign(value, valid_after, valid_before, nonce):
    changes = {"value": value, "validAfter": valid_after, "validBefore": valid_before, "nonce": "0x" + nonce.hex()}

    authorization = signed(**changes)

    exact_eip3009.require_signature(requirements(), authorization)


def test_our_digest_equals_the_generic_encoders():
    from eth_account.messages import _hash_eip191_message, encode_typed_data

    generic = _hash_eip191_message(encode_typed_data(DOMAIN, TRANSFER, message()))

    assert exact_eip3009.digest(requirements(), signed()) == bytes(generic)


@given(st.binary(min_size=0, max_size=70))
def test_no_signature_bytes_raise_anything_but_a_refusal(signature):
    with pytest.raises(PaymentRefused):
        exact_eip3009.require_signature(requirements(), resigned(signed(), signature))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32).filter(lambda key: any(key)))
def test_recovery_finds_the_key_that_signed(digest, secret):
    try:
        key = PrivateKey(secret)
    except ValueError:
        return
    raw = key.sign_recoverable(digest, hasher=None)

    assert eip712.recover(digest, raw[:64] + bytes([raw[64] + 27])) == eip712.address_of_key(key.public_key)


def test_a_checksummed_address_is_the_one_wallets_show():
    assert eip712.checksum_address(bytes.fromhex(USDC[2:])) == USDC
    assert eip712.checksum_address(bytes.fromhex(PAYER.address[2:])) == PAYER.address
