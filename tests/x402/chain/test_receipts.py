"""One transfer pays for one authorization, whoever carried it (rules R3 and R5, attacks 6 and 9)."""

from dataclasses import replace

import pytest

from outbound.json_rpc import OutcomeUnknown
from tests.x402.chain.conftest import MULTICALL3, USDC
from tests.x402.protocol.signing import PAY_TO, signed
from x402.chain import receipts, tokens
from x402.chain.receipts import Log, Use, find_use, logs_of, transfer_of, use_of

OTHER = "0x" + "77" * 20


def call_of(authorization):
    return (USDC, tokens.transfer_with_authorization(authorization))


def test_a_single_transfer_is_found_at_its_place_in_the_block(chain):
    authorization = chain.payer().signs()

    receipt = chain.carries(*call_of(authorization))

    index = transfer_of(receipt, asset=USDC, authorization=authorization)
    [log] = [entry for entry in receipt["logs"] if int(entry["logIndex"], 16) == index]
    assert log["topics"][0] == tokens.TRANSFER_TOPIC
    assert int(log["data"], 16) == 1_000


def test_a_signature_given_as_bytes_settles_as_well(chain):
    authorization = chain.payer().signs()
    by_bytes = tokens.TRANSFER_BY_BYTES + tokens.transfer_with_authorization(authorization)[4 : 4 + 6 * 32]
    by_bytes += (7 * 32).to_bytes(32, "big") + (65).to_bytes(32, "big") + authorization.signature + bytes(31)

    receipt = chain.carries(USDC, by_bytes)

    assert transfer_of(receipt, asset=USDC, authorization=authorization) is not None


def test_long_signatures_are_encoded_in_their_bytes_form():
    long = replace(signed(), signature=b"\x01" * 100)

    calldata = tokens.transfer_with_authorization(long)

    assert calldata[:4] == tokens.TRANSFER_BY_BYTES
    assert len(calldata) == 4 + 7 * 32 + 32 + 128


def test_two_equal_authorizations_with_money_for_one_settle_exactly_one(chain):
    payer = chain.payer(balance=1_000)
    first, second = payer.signs(1_000), payer.signs(1_000)

    receipt = chain.carries_batch([call_of(first), call_of(second)])

    found = [transfer_of(receipt, asset=USDC, authorization=each) for each in (first, second)]
    assert receipt["status"] == "0x1"
    assert found[0] is not None
    assert found[1] is None


def test_every_member_of_a_batch_has_a_log_of_its_own(chain):
    payer = chain.payer(balance=3_000)
    members = [payer.signs(1_000) for _ in range(3)]

    receipt = chain.carries_batch([call_of(member) for member in members])

    found = [transfer_of(receipt, asset=USDC, authorization=member) for member in members]
    assert len({index for index in found if index is not None}) == 3


def test_a_member_that_fails_takes_nobody_with_it(chain):
    poor, rich = chain.payer(balance=0), chain.payer()
    unpaid, paid = poor.signs(), rich.signs()

    receipt = chain.carries_batch([call_of(unpaid), call_of(paid)])

    assert transfer_of(receipt, asset=USDC, authorization=unpaid) is None
    assert transfer_of(receipt, asset=USDC, authorization=paid) is not None


def test_a_reverted_transaction_pays_nothing_and_says_nothing_final(chain):
    authorization = chain.payer(balance=0).signs()

    receipt = chain.carries(*call_of(authorization))

    assert receipt["status"] == "0x0"
    assert use_of(logs_of(receipt), asset=USDC, authorization=authorization) is None


def test_a_strangers_transaction_is_found_by_the_nonce_alone(chain):
    authorization = chain.payer().signs()
    start = chain.height()
    receipt = chain.carries_batch([call_of(authorization)])
    chain.rpc.call("anvil_mine", ["0x5"])

    use = find_use(chain.rpc, asset=USDC, authorization=authorization, from_block=start, to_block=chain.height())

    assert use.use is Use.PAID
    assert use.log.transaction_hash == receipt["transactionHash"]
    assert use.log.block_hash == receipt["blockHash"]
    assert use.log.log_index == transfer_of(receipt, asset=USDC, authorization=authorization)


def test_a_search_goes_over_every_range_of_blocks(chain, monkeypatch):
    monkeypatch.setattr(receipts, "BLOCKS_PER_SEARCH", 2)
    authorization = chain.payer().signs()
    start = chain.height()
    chain.carries(*call_of(authorization))
    chain.rpc.call("anvil_mine", ["0x7"])

    use = find_use(chain.rpc, asset=USDC, authorization=authorization, from_block=start, to_block=chain.height())

    assert use.use is Use.PAID


def test_an_unused_nonce_is_not_found(chain):
    authorization = chain.payer().signs()

    use = find_use(chain.rpc, asset=USDC, authorization=authorization, from_block=0, to_block=chain.height())

    assert use is None


def test_a_cancelled_nonce_is_never_a_payment(chain):
    payer = chain.payer()
    authorization = payer.signs()
    chain.carries(USDC, payer.cancels(authorization.nonce))

    use = find_use(chain.rpc, asset=USDC, authorization=authorization, from_block=0, to_block=chain.height())

    assert use.use is Use.CANCELED


@pytest.mark.parametrize("changes", [{"to": OTHER}, {"value": 999}])
def test_the_same_nonce_spent_on_something_else_is_not_our_payment(chain, changes):
    payer = chain.payer()
    ours = payer.signs()
    elsewhere = payer.signs(changes.get("value", 1_000), to=changes.get("to", PAY_TO), nonce=ours.nonce)

    receipt = chain.carries(*call_of(elsewhere))

    assert transfer_of(receipt, asset=USDC, authorization=ours) is None
    assert use_of(logs_of(receipt), asset=USDC, authorization=ours).use is Use.OTHER


def log(address=USDC, *, topics, data=b"", index=0):
    return Log(bytes.fromhex(address[2:]), tuple(topics), data, "0x01", "0x02", 3, index)


def used(authorization, **where):
    topics = (tokens.AUTHORIZATION_USED_TOPIC, topic(authorization.from_), topic(authorization.nonce))
    return log(topics=topics, **where)


def transfer(authorization, *, to=None, value=None, **where):
    topics = (tokens.TRANSFER_TOPIC, topic(authorization.from_), topic(to or authorization.to))
    return log(topics=topics, data=(value or authorization.value).to_bytes(32, "big"), **where)


def topic(raw):
    return "0x" + raw.rjust(32, b"\0").hex()


def test_another_contracts_logs_prove_nothing():
    authorization = signed()
    forged = [used(authorization, address=OTHER), transfer(authorization, address=OTHER)]

    assert use_of(forged, asset=USDC, authorization=authorization) is None


def test_another_contracts_log_between_the_two_does_not_part_them():
    authorization = signed()
    logs = [used(authorization), log(OTHER, topics=["0x00"]), transfer(authorization, index=9)]

    assert use_of(logs, asset=USDC, authorization=authorization).log.log_index == 9


def test_a_token_that_says_used_and_moves_nothing_pays_nothing():
    authorization = signed()

    assert use_of([used(authorization)], asset=USDC, authorization=authorization).use is Use.OTHER


def test_the_transfer_of_the_next_authorization_is_not_borrowed():
    one, other = signed(), replace(signed(), nonce=b"\x01" * 32)
    logs = [used(one), used(other), transfer(other, index=5)]

    assert use_of(logs, asset=USDC, authorization=one).use is Use.OTHER
    assert use_of(logs, asset=USDC, authorization=other).log.log_index == 5


@pytest.mark.parametrize("wrong", [{"to": bytes.fromhex("77" * 20)}, {"value": 1_999}, {"value": 2_001}])
def test_a_transfer_of_something_else_after_the_use_does_not_count(wrong):
    authorization = signed()

    use = use_of([used(authorization), transfer(authorization, **wrong)], asset=USDC, authorization=authorization)

    assert use.use is Use.OTHER


@pytest.mark.parametrize(
    "receipt",
    [
        {},
        {"logs": None},
        {"logs": [None]},
        {"logs": [{}]},
        {"logs": [{"topics": [], "address": "0x", "data": "zz"}]},
        {"logs": [{"topics": [], "removed": True}]},
    ],
)
def test_a_receipt_that_cannot_be_read_is_unknown_and_not_unpaid(receipt):
    with pytest.raises(OutcomeUnknown):
        transfer_of(receipt, asset=USDC, authorization=signed())


def test_the_batch_goes_through_multicall3_itself(chain):
    receipt = chain.carries_batch([call_of(chain.payer().signs())])

    assert receipt["to"].lower() == MULTICALL3.lower()
