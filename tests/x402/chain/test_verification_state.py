"""What the chain says of a payment before it is taken: used, balance, code, all at one named block."""

import pytest

from outbound.json_rpc import OutcomeUnknown, RpcRefused
from tests.x402.chain.conftest import MULTICALL3, PERMIT2, USDC
from x402.chain import code_hashes, tokens
from x402.chain.code_hashes import UnexpectedCode, require_contracts
from x402.chain.verification_state import (
    AuthorizationState,
    authorization_state,
    require_payable,
    verify_chain_state,
)
from x402.protocol.errors import PaymentRefused
from x402.protocol.schemes.exact_eip3009 import ChainQuestions


def state_of(chain, authorization, **where):
    [state] = authorization_state(chain.rpc, authorization, asset=USDC, multicall3=MULTICALL3, **where).authorizations
    return state


def test_a_fresh_payment_is_unused_and_covered(chain):
    authorization = chain.payer(balance=1_234).signs()

    assert state_of(chain, authorization) == AuthorizationState(is_used=False, balance=1_234, payer_has_code=False)


def test_a_settled_payment_is_used_and_its_balance_gone(chain):
    authorization = chain.payer(balance=1_234).signs(1_000)
    chain.carries(USDC, tokens.transfer_with_authorization(authorization))

    assert state_of(chain, authorization) == AuthorizationState(is_used=True, balance=234, payer_has_code=False)


def test_a_cancelled_payment_is_used(chain):
    payer = chain.payer()
    authorization = payer.signs()
    chain.carries(USDC, payer.cancels(authorization.nonce))

    assert state_of(chain, authorization).is_used


def test_an_account_that_delegated_to_code_is_seen(chain):
    payer = chain.payer()
    chain.rpc.call("anvil_setCode", [payer.address, "0xef0100" + "11" * 20])

    assert state_of(chain, payer.signs()).payer_has_code


def test_many_payments_are_read_at_one_block_in_their_order(chain):
    payers = [chain.payer(balance=balance) for balance in (1, 2, 3)]
    questions = [
        ChainQuestions(bytes.fromhex(USDC[2:]), payer.signs().from_, payer.signs().nonce, 1) for payer in payers
    ]

    state = verify_chain_state(chain.rpc, questions, multicall3=MULTICALL3)

    header = chain.rpc.call("eth_getBlockByNumber", ["latest", False])
    assert [each.balance for each in state.authorizations] == [1, 2, 3]
    assert (hex(state.block.number), state.block.hash) == (header["number"], header["hash"])
    assert state.block.timestamp == int(header["timestamp"], 16)


def test_an_older_block_can_be_asked_for_by_number_and_by_hash(chain):
    authorization = chain.payer().signs()
    chain.rpc.call("evm_mine")
    before = chain.rpc.call("eth_getBlockByNumber", ["latest", False])
    chain.carries(USDC, tokens.transfer_with_authorization(authorization))

    assert not state_of(chain, authorization, block=before["number"]).is_used
    assert not state_of(chain, authorization, block=before["hash"]).is_used
    assert state_of(chain, authorization).is_used


@pytest.mark.parametrize(
    ("asset", "multicall3", "block"),
    [
        ("0x" + "77" * 20, MULTICALL3, "latest"),
        (USDC, "0x" + "77" * 20, "latest"),
        (MULTICALL3, MULTICALL3, "latest"),
        (USDC, MULTICALL3, "0xffffffff"),
    ],
)
def test_what_does_not_answer_as_it_should_is_unknown_and_not_zero(chain, asset, multicall3, block):
    authorization = chain.payer().signs()

    with pytest.raises((OutcomeUnknown, RpcRefused)):
        authorization_state(chain.rpc, authorization, asset=asset, multicall3=multicall3, block=block)


def test_a_node_that_never_agrees_with_itself_is_unknown(chain, monkeypatch):
    authorization = chain.payer().signs()
    chain.rpc.call("evm_mine")
    original = chain.rpc.batch

    def shifted(calls, **options):
        answers = original(calls, **options)
        return [answers[0] | {"number": "0xfffffff", "timestamp": "0xfffffff"}, *answers[1:]]

    monkeypatch.setattr(chain.rpc, "batch", shifted)

    with pytest.raises(OutcomeUnknown, match="faster"):
        state_of(chain, authorization)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (AuthorizationState(is_used=True, balance=10, payer_has_code=False), "invalid_exact_evm_nonce_already_used"),
        (AuthorizationState(is_used=False, balance=10, payer_has_code=True), "invalid_exact_evm_payload_signature"),
        (AuthorizationState(is_used=False, balance=9, payer_has_code=False), "insufficient_funds"),
    ],
)
def test_a_payment_the_chain_would_not_carry_is_refused(state, reason):
    with pytest.raises(PaymentRefused) as refused:
        require_payable(state, value=10)

    assert refused.value.reason == reason


def test_a_balance_of_exactly_the_price_is_enough():
    require_payable(AuthorizationState(is_used=False, balance=10, payer_has_code=False), value=10)


def test_the_contracts_of_the_local_chain_are_the_known_ones(chain):
    assert require_contracts(chain.rpc, multicall3=MULTICALL3, permit2=PERMIT2, assets=(USDC,)) == 84532


@pytest.mark.parametrize(
    ("changes", "contract"),
    [
        ({"multicall3": "0x" + "78" * 20}, "a contract"),
        ({"multicall3": USDC}, "Multicall3"),
        ({"permit2": MULTICALL3}, "Permit2"),
        ({"assets": ("0x" + "78" * 20,)}, "a contract"),
    ],
)
def test_a_start_with_other_code_is_refused(chain, changes, contract):
    addresses = {"multicall3": MULTICALL3, "permit2": PERMIT2, "assets": (USDC,)} | changes

    with pytest.raises(UnexpectedCode) as refused:
        require_contracts(chain.rpc, **addresses)

    assert refused.value.contract == contract


def test_permit2_of_another_chain_has_the_same_blanked_code(chain):
    code = bytes.fromhex(chain.rpc.call("eth_getCode", [PERMIT2, "latest"])[2:])
    here = code_hashes.eip712.domain_separator(
        "Permit2", version=None, chain_id=84532, verifying_contract=bytes.fromhex(PERMIT2[2:])
    )
    there = code_hashes.eip712.domain_separator(
        "Permit2", version=None, chain_id=8453, verifying_contract=bytes.fromhex(PERMIT2[2:])
    )
    elsewhere = code.replace((84532).to_bytes(32, "big"), (8453).to_bytes(32, "big")).replace(here, there)

    blanked = code_hashes.blanked_permit2_hash(elsewhere, chain_id=8453, address=PERMIT2)

    assert blanked == code_hashes.PERMIT2_BLANKED_CODE_HASH
