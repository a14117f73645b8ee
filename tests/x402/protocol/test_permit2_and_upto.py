"""Permit2 payments, exact and up to a maximum: digests against eth-account, every field wrong, the one key."""

from dataclasses import replace

import pytest

from tests.x402.protocol.signing import NOW, PAY_TO, PAYER, STRANGER, USDC, requirements
from x402.protocol.errors import PaymentRefused
from x402.protocol.payload import Permit2Authorization
from x402.protocol.schemes import exact_permit2, upto

OTHER = bytes.fromhex("77" * 20)
RELAYER = bytes.fromhex("55" * 20)
PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3"


def signed(*, witness_type, facilitator=None, key=PAYER, **changes):
    """A Permit2 authorization signed with the generic encoder."""
    authorization = Permit2Authorization(
        from_=bytes.fromhex(PAYER.address[2:]),
        token=bytes.fromhex(USDC[2:]),
        amount=2_000,
        spender=exact_permit2.EXACT_PROXY if facilitator is None else upto.UPTO_PROXY,
        nonce=2**255 + 7,
        deadline=NOW + 300,
        to=bytes.fromhex(PAY_TO[2:]),
        valid_after=0,
        facilitator=facilitator,
        signature=b"",
    )
    authorization = replace(authorization, **changes)
    witness = {"to": "0x" + authorization.to.hex(), "validAfter": authorization.valid_after}
    if facilitator is not None:
        witness["facilitator"] = "0x" + authorization.facilitator.hex()
    signature = key.sign_typed_data(
        {"name": "Permit2", "chainId": 84532, "verifyingContract": PERMIT2},
        {
            "PermitWitnessTransferFrom": [
                {"name": "permitted", "type": "TokenPermissions"},
                {"name": "spender", "type": "address"},
                {"name": "nonce", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
                {"name": "witness", "type": "Witness"},
            ],
            "TokenPermissions": [{"name": "token", "type": "address"}, {"name": "amount", "type": "uint256"}],
            "Witness": witness_type,
        },
        {
            "permitted": {"token": "0x" + authorization.token.hex(), "amount": authorization.amount},
            "spender": "0x" + authorization.spender.hex(),
            "nonce": authorization.nonce,
            "deadline": authorization.deadline,
            "witness": witness,
        },
    ).signature
    return replace(authorization, signature=bytes(signature))


def exact(**changes):
    fields = [{"name": "to", "type": "address"}, {"name": "validAfter", "type": "uint256"}]
    return signed(witness_type=fields, **changes)


def maximum(**changes):
    fields = [
        {"name": "to", "type": "address"},
        {"name": "facilitator", "type": "address"},
        {"name": "validAfter", "type": "uint256"},
    ]
    return signed(witness_type=fields, **({"facilitator": RELAYER} | changes))


def test_an_exact_permit_signed_by_a_wallet_holds():
    exact_permit2.require_valid(requirements(), exact(), now=NOW)


def test_a_maximum_signed_by_a_wallet_holds():
    upto.require_valid(requirements(scheme="upto"), maximum(), relayers=[RELAYER], now=NOW)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spender": OTHER}, "invalid_permit2_spender"),
        ({"spender": upto.UPTO_PROXY}, "invalid_permit2_spender"),
        ({"to": OTHER}, "invalid_permit2_recipient_mismatch"),
        ({"token": OTHER}, "permit2_token_mismatch"),
        ({"amount": 1_999}, "permit2_amount_mismatch"),
        ({"amount": 2_001}, "permit2_amount_mismatch"),
        ({"deadline": NOW + 5}, "permit2_deadline_expired"),
        ({"valid_after": NOW + 1}, "permit2_not_yet_valid"),
        ({"key": STRANGER}, "invalid_permit2_signature"),
    ],
)
def test_a_wrong_field_of_a_permit_has_its_own_reason(changes, reason):
    with pytest.raises(PaymentRefused) as refused:
        exact_permit2.require_valid(requirements(), exact(**changes), now=NOW)

    assert refused.value.reason == reason


@pytest.mark.parametrize("field", ["nonce", "deadline", "valid_after"])
def test_a_permit_changed_after_signing_does_not_hold(field):
    altered = replace(exact(), **{field: getattr(exact(), field) + 1})

    with pytest.raises(PaymentRefused) as refused:
        exact_permit2.require_valid(requirements(), altered, now=NOW)

    assert refused.value.reason == "invalid_permit2_signature"


@pytest.mark.parametrize("facilitator", [upto.MULTICALL3, OTHER, bytes(20)])
def test_a_maximum_that_others_could_settle_is_refused(facilitator):
    authorization = maximum(facilitator=facilitator)

    with pytest.raises(PaymentRefused) as refused:
        upto.require_valid(requirements(scheme="upto"), authorization, relayers=[RELAYER, upto.MULTICALL3], now=NOW)

    assert refused.value.reason == ("upto_facilitator_mismatch")


def test_a_rotated_relayer_key_stays_good_while_it_is_listed():
    old = bytes.fromhex("66" * 20)

    upto.require_valid(requirements(scheme="upto"), maximum(facilitator=old), relayers=[RELAYER, old], now=NOW)


@pytest.mark.parametrize("actual", [0, 1, 2_000])
def test_up_to_the_signed_maximum_may_be_settled(actual):
    upto.require_actual(maximum(), actual)


@pytest.mark.parametrize("actual", [-1, 2_001])
def test_more_than_the_signed_maximum_may_not(actual):
    with pytest.raises(PaymentRefused) as refused:
        upto.require_actual(maximum(), actual)

    assert refused.value.reason == "invalid_upto_evm_payload_settlement_exceeds_amount"


def test_a_permit_nonce_is_one_word_in_a_replay_key():
    assert exact().nonce_bytes == (2**255 + 7).to_bytes(32, "big")
