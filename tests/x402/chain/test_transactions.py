"""The relayer's transactions: the bytes other libraries make, a hash before sending, replacements below a ceiling."""

import secrets

import pytest
import rlp as reference_rlp
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from outbound.json_rpc import RpcRefused
from tests.x402.chain.conftest import USDC
from x402.chain import rlp, transactions
from x402.chain.transactions import FeeCeilingReached, Fees, Refusal, Signer, Unsigned

KEY = "0x" + "11" * 32
GWEI = 10**9


def unsigned(**changes):
    facts = {"chain_id": 84532, "nonce": 7, "to": USDC, "data": b"\x01\x02", "gas_limit": 90_000}
    facts |= {"fees": Fees(3 * GWEI, GWEI)}
    return Unsigned(**(facts | changes))


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.integers(21_000, 2**40),
    st.binary(max_size=300),
    st.integers(0, 2**80),
)
def test_our_bytes_are_those_of_the_reference_library(nonce, max_fee, priority_fee, gas_limit, data, value):
    signed = Signer(KEY).sign(
        unsigned(nonce=nonce, fees=Fees(max_fee, priority_fee), gas_limit=gas_limit, data=data, value_wei=value)
    )

    reference = Account.sign_transaction(
        {
            "type": 2,
            "chainId": 84532,
            "nonce": nonce,
            "to": USDC,
            "data": data,
            "value": value,
            "gas": gas_limit,
            "maxFeePerGas": max_fee,
            "maxPriorityFeePerGas": priority_fee,
        },
        KEY,
    )
    assert signed.raw == bytes(reference.raw_transaction)
    assert signed.transaction_hash == "0x" + bytes(reference.hash).hex()


ITEMS = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


@given(ITEMS)
def test_rlp_is_the_reference_encoding(item):
    assert rlp.encode(item) == reference_rlp.encode(item)


def test_a_signer_names_its_account_and_hides_its_key():
    signer = Signer(KEY)

    assert signer.address == Account.from_key(KEY).address
    assert repr(signer) == f"Signer({signer.address})"


@pytest.mark.parametrize("key", ["", "0x12", "0x" + "00" * 32, "zz" * 32, "0x" + "ff" * 32])
def test_a_bad_key_is_refused_without_being_repeated(key):
    with pytest.raises(ValueError, match="a private key is") as refused:
        Signer(key)

    assert refused.value.__suppress_context__
    assert not key or key not in str(refused.value)


def test_signed_bytes_are_the_same_each_time():
    assert Signer(KEY).sign(unsigned()) == Signer(KEY).sign(unsigned())


def test_a_typed_data_signature_has_the_canonical_form():
    from x402.protocol import eip712

    digest = secrets.token_bytes(32)

    assert "0x" + eip712.recover(digest, Signer(KEY).sign_digest(digest)).hex() == Signer(KEY).address.lower()


def test_a_replacement_keeps_its_nonce_and_raises_both_fees_enough():
    first = unsigned()

    second = transactions.replacement(first, current=Fees(GWEI, 1))

    assert (second.nonce, second.data) == (first.nonce, first.data)
    assert second.fees.max_fee_per_gas_wei > first.fees.max_fee_per_gas_wei * 110 // 100
    assert second.fees.max_priority_fee_per_gas_wei > first.fees.max_priority_fee_per_gas_wei * 110 // 100


def test_a_replacement_follows_a_market_that_moved_further():
    second = transactions.replacement(unsigned(), current=Fees(50 * GWEI, 20 * GWEI))

    assert second.fees == Fees(50 * GWEI, 20 * GWEI)


def test_no_replacement_goes_above_the_ceiling():
    with pytest.raises(FeeCeilingReached) as refused:
        transactions.replacement(unsigned(), current=Fees(GWEI, GWEI), ceiling_wei=3 * GWEI)

    assert refused.value.ceiling_wei == 3 * GWEI


def test_fees_stay_below_the_ceiling(rpc):
    fees = transactions.current_fees(rpc)

    assert 0 < fees.max_priority_fee_per_gas_wei <= fees.max_fee_per_gas_wei <= transactions.FEE_CEILING_WEI
    with pytest.raises(FeeCeilingReached):
        transactions.current_fees(rpc, ceiling_wei=1)


def test_sending_the_same_bytes_twice_is_sending_them_once(chain):
    chain.rpc.call("evm_setAutomine", [False])
    try:
        signed = chain.carrier.sign(unsigned(nonce=0, data=b"", to=chain.carrier.address))

        transactions.send(chain.rpc, signed.raw)
        transactions.send(chain.rpc, signed.raw)

        assert transactions.next_nonce(chain.rpc, chain.carrier.address) == 1
        replaced = chain.carrier.sign(transactions.replacement(signed.unsigned, current=Fees(1, 1)))
        transactions.send(chain.rpc, replaced.raw)
    finally:
        chain.rpc.call("evm_setAutomine", [True])
    chain.rpc.call("evm_mine")

    assert chain.receipt_of(replaced.transaction_hash)["status"] == "0x1"
    assert chain.rpc.call("eth_getTransactionReceipt", [signed.transaction_hash]) is None


def test_a_node_says_why_it_declines(chain):
    def refusal(signer, **changes):
        with pytest.raises(RpcRefused) as refused:
            transactions.send(chain.rpc, signer.sign(unsigned(data=b"", **changes)).raw)
        return transactions.refusal_of(refused.value)

    chain.carries(chain.carrier.address, b"")

    assert refusal(chain.carrier, nonce=0) is Refusal.NONCE_TOO_LOW
    assert refusal(Signer(secrets.token_hex(32)), nonce=0) is Refusal.NO_GAS_MONEY
    assert refusal(chain.carrier, nonce=1, fees=Fees(1, 1)) in (Refusal.UNDERPRICED, Refusal.OTHER)


def test_the_next_nonce_is_above_rows_and_chain(chain):
    assert transactions.next_nonce(chain.rpc, chain.carrier.address) == 0
    assert transactions.next_nonce(chain.rpc, chain.carrier.address, stored=[4, 2]) == 5


def test_only_a_node_that_has_the_bytes_says_already_known():
    assert transactions.is_already_known(RpcRefused(-32000, "already known"))
    assert transactions.is_already_known(RpcRefused(-32003, "Transaction already imported."))
    assert not transactions.is_already_known(RpcRefused(-32000, "nonce too low"))
