"""Which Transfer belongs to which Permit2 payment (rule R3).

Permit2 names no nonce in its logs. What shows a payment is three things together: a Transfer of the token with exactly
the signed payer and recipient and the settled amount; the proxy's own event behind it, before anything else that token
or proxy say; and the nonce's bit, set at that block and not at the one before. Two payments with equal transfers may
share a block all the same, so each log is consumed once, and whoever asks leaves out the logs that others have.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from outbound.json_rpc import OutcomeUnknown, RpcClient, RpcRefused, bytes_of
from x402.chain import abi, permit2, tokens
from x402.chain.receipts import Log, log_of, logs_of, ranges_of, topic_of
from x402.protocol.payload import Permit2Authorization
from x402.protocol.schemes.exact_permit2 import PERMIT2

_PERMIT2: Final = "0x" + PERMIT2.hex()


def transfers_of(receipt: Mapping[str, object], *, permit: Permit2Authorization, amount: int) -> list[int]:
    """The log indexes, within their block, of the transfers that could have paid this permit, in order.

    Units: the token's atomic unit. Raises OutcomeUnknown when the receipt cannot be read.
    """
    return [log.log_index for log in _transfers_in(logs_of(receipt), permit=permit, amount=amount)]


def was_used_in(rpc: RpcClient, *, permit: Permit2Authorization, block_hash: str, block_number: int) -> bool:
    """Whether the nonce's bit was set by this very block. Raises RpcFailure.

    A node that no longer keeps the state of the block before can say only that the bit is set; rule R3 asks no more.
    """
    if not _is_set(rpc, permit, {"blockHash": block_hash}):
        return False
    try:
        return not _is_set(rpc, permit, hex(block_number - 1))
    except RpcRefused:
        return True


def find_transfers(
    rpc: RpcClient, *, permit: Permit2Authorization, amount: int, from_block: int, to_block: int
) -> Iterator[Log]:
    """Search a range of blocks, newest first, for transfers that this permit made, whoever carried it.

    Units: the token's atomic unit. Raises RpcFailure.
    """
    topics = [tokens.TRANSFER_TOPIC, topic_of(permit.from_), topic_of(permit.to)]
    wanted = amount.to_bytes(32, "big")
    for first, last in ranges_of(from_block, to_block):
        window = {"address": "0x" + permit.token.hex(), "topics": topics, "fromBlock": hex(first), "toBlock": hex(last)}
        found = rpc.call("eth_getLogs", [window])
        if not isinstance(found, list):
            raise OutcomeUnknown("the node's logs are not a list")
        hashes = dict.fromkeys(log.transaction_hash for log in map(log_of, reversed(found)) if log.data == wanted)
        for transaction_hash in hashes:
            receipt = rpc.call("eth_getTransactionReceipt", [transaction_hash])
            if not isinstance(receipt, dict):
                raise OutcomeUnknown("the node shows a log but not its receipt")
            for log in _transfers_in(logs_of(receipt), permit=permit, amount=amount):
                if was_used_in(rpc, permit=permit, block_hash=log.block_hash, block_number=log.block_number):
                    yield log


def was_invalidated(rpc: RpcClient, *, permit: Permit2Authorization, from_block: int, to_block: int) -> bool:
    """Whether the owner set this nonce's bit itself, so that the permit can never pay. Raises RpcFailure."""
    word = abi.word(permit.nonce >> 8)
    for first, last in ranges_of(from_block, to_block):
        topics = [permit2.NONCES_INVALIDATED_TOPIC, topic_of(permit.from_)]
        window = {"address": _PERMIT2, "topics": topics, "fromBlock": hex(first), "toBlock": hex(last)}
        found = rpc.call("eth_getLogs", [window])
        if not isinstance(found, list):
            raise OutcomeUnknown("the node's logs are not a list")
        for log in map(log_of, found):
            mask = abi.read_word(log.data, abi.WORD_BYTES)
            if log.data[: abi.WORD_BYTES] == word and permit2.is_nonce_set(mask, permit.nonce_bytes):
                return True
    return False


def _transfers_in(logs: Sequence[Log], *, permit: Permit2Authorization, amount: int) -> list[Log]:
    proxy = permit2.proxy_of(permit)
    own = [log for log in logs if log.address in (permit.token, proxy) and log.topics]
    wanted = (tokens.TRANSFER_TOPIC, topic_of(permit.from_), topic_of(permit.to))
    return [
        log
        for log, following in itertools.pairwise(own)
        if log.address == permit.token
        and log.topics == wanted
        and log.data == amount.to_bytes(32, "big")
        and following.address == proxy
        and following.topics[0] in permit2.SETTLED_TOPICS
    ]


def _is_set(rpc: RpcClient, permit: Permit2Authorization, block: object) -> bool:
    data = "0x" + permit2.nonce_bitmap(permit.from_, permit.nonce_bytes).hex()
    answer = bytes_of(rpc.call("eth_call", [{"to": _PERMIT2, "data": data}, block]))
    return permit2.is_nonce_set(abi.read_word(answer, 0), permit.nonce_bytes)
