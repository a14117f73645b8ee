"""Which Transfer belongs to which authorization: the one question that decides whether money arrived (rule R3).

A token with EIP-3009 emits AuthorizationUsed(payer, nonce) and moves the money next, so the payment's Transfer is the
next log of the same emitter, with exactly the signed from, to and value. That holds in our own batches and in a
stranger's transaction alike, and a transaction's status is never evidence. Two equal transfers in one batch are told
apart by the nonce before them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from outbound.json_rpc import Json, OutcomeUnknown, RpcClient, bytes_of, number_of
from x402.chain import abi, tokens
from x402.protocol.payload import Authorization

BLOCKS_PER_SEARCH: Final = 2_000  # the widest range common public nodes answer


@dataclass(frozen=True, slots=True)
class Log:
    """One log of a mined transaction; hashes and topics in lower-case hex, `address` as 20 bytes."""

    address: bytes
    topics: tuple[str, ...]
    data: bytes
    transaction_hash: str
    block_hash: str
    block_number: int
    log_index: int


class Use(StrEnum):
    """What became of a nonce. Only PAID is a payment; the others can never become one."""

    PAID = "paid"
    CANCELED = "canceled"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class NonceUse:
    """How a nonce was used, and the log that shows it: the Transfer when PAID, else the use or cancellation."""

    use: Use
    log: Log


def logs_of(receipt: Mapping[str, object]) -> list[Log]:
    """The logs of a receipt, in order. Raises OutcomeUnknown when they cannot be read."""
    logs = receipt.get("logs")
    if not isinstance(logs, list):
        raise OutcomeUnknown("a receipt without logs")
    return [log_of(entry) for entry in logs]


def transfer_of(receipt: Mapping[str, object], *, asset: str, authorization: Authorization) -> int | None:
    """The log index, within its block, of the one Transfer that pays this authorization; None when there is none.

    Raises OutcomeUnknown when the receipt cannot be read.
    """
    use = use_of(logs_of(receipt), asset=asset, authorization=authorization)
    return use.log.log_index if use is not None and use.use is Use.PAID else None


def use_of(logs: Sequence[Log], *, asset: str, authorization: Authorization) -> NonceUse | None:
    """What these logs of one transaction say of the authorization's nonce; None when they do not name it."""
    emitter = abi.address_of(asset)
    payer, nonce = topic_of(authorization.from_), topic_of(authorization.nonce)
    own = [log for log in logs if log.address == emitter and log.topics]
    for position, log in enumerate(own):
        if log.topics[1:] != (payer, nonce):
            continue
        if log.topics[0] == tokens.AUTHORIZATION_CANCELED_TOPIC:
            return NonceUse(Use.CANCELED, log)
        if log.topics[0] == tokens.AUTHORIZATION_USED_TOPIC:
            following = own[position + 1] if position + 1 < len(own) else None
            if following is not None and _pays(following, authorization):
                return NonceUse(Use.PAID, following)
            return NonceUse(Use.OTHER, log)
    return None


def find_use(
    rpc: RpcClient, *, asset: str, authorization: Authorization, from_block: int, to_block: int
) -> NonceUse | None:
    """Search a range of blocks, newest first, for what used or cancelled this nonce, whoever carried it.

    None says that these blocks hold no use of it, no more. Raises RpcFailure.
    """
    topics = [
        [tokens.AUTHORIZATION_USED_TOPIC, tokens.AUTHORIZATION_CANCELED_TOPIC],
        topic_of(authorization.from_),
        topic_of(authorization.nonce),
    ]
    for first, last in ranges_of(from_block, to_block):
        found = rpc.call(
            "eth_getLogs",
            [{"address": asset, "topics": topics, "fromBlock": hex(first), "toBlock": hex(last)}],
        )
        if not isinstance(found, list):
            raise OutcomeUnknown("the node's logs are not a list")
        for entry in reversed(found):
            receipt = rpc.call("eth_getTransactionReceipt", [log_of(entry).transaction_hash])
            if not isinstance(receipt, dict):
                raise OutcomeUnknown("the node shows a log but not its receipt")
            use = use_of(logs_of(receipt), asset=asset, authorization=authorization)
            if use is not None:
                return use
    return None


@dataclass(frozen=True, slots=True)
class Movement:
    """One Transfer of an asset. Units: the asset's atomic unit; addresses in lower-case hex."""

    sender: str
    recipient: str
    amount: int
    log: Log


def movements(
    rpc: RpcClient, *, asset: str, treasury: str, from_block: int, to_block: int
) -> tuple[list[Movement], list[Movement]]:
    """Every Transfer to an address and every Transfer from it in a range of blocks. Raises RpcFailure."""
    own = topic_of(abi.address_of(treasury))
    found: tuple[list[Movement], list[Movement]] = ([], [])
    for first, last in ranges_of(from_block, to_block):
        for side, topics in zip(found, ([tokens.TRANSFER_TOPIC, None, own], [tokens.TRANSFER_TOPIC, own]), strict=True):
            window = {"address": asset, "topics": topics, "fromBlock": hex(first), "toBlock": hex(last)}
            logs = rpc.call("eth_getLogs", [window])
            if not isinstance(logs, list):
                raise OutcomeUnknown("the node's logs are not a list")
            side += [_movement(log_of(entry)) for entry in logs]
    return found


def nonce_of(rpc: RpcClient, movement: Movement) -> str:
    """The authorization's nonce that moved this money, in hex; empty for a plain transfer. Raises RpcFailure."""
    receipt = rpc.call("eth_getTransactionReceipt", [movement.log.transaction_hash])
    if not isinstance(receipt, dict):
        raise OutcomeUnknown("the node shows a log but not its receipt")
    before: Log | None = None
    for log in logs_of(receipt):
        if log.log_index == movement.log.log_index:
            break
        if log.address == movement.log.address:
            before = log
    is_use = before is not None and before.topics[:2] == (tokens.AUTHORIZATION_USED_TOPIC, movement.log.topics[1])
    return before.topics[2] if before is not None and is_use else ""


def _movement(log: Log) -> Movement:
    sender, recipient = ("0x" + topic[-40:] for topic in log.topics[1:3])
    return Movement(sender=sender, recipient=recipient, amount=int.from_bytes(log.data, "big"), log=log)


def ranges_of(from_block: int, to_block: int) -> Iterator[tuple[int, int]]:
    """First and last blocks of the searches that cover this range, newest first."""
    last = to_block
    while last >= from_block:
        first = max(from_block, last - BLOCKS_PER_SEARCH + 1)
        yield first, last
        last = first - 1


def _pays(log: Log, authorization: Authorization) -> bool:
    return log.topics == (
        tokens.TRANSFER_TOPIC,
        topic_of(authorization.from_),
        topic_of(authorization.to),
    ) and log.data == authorization.value.to_bytes(32, "big")


def log_of(entry: Json) -> Log:
    """One log as a node writes it. Raises OutcomeUnknown when it cannot be read."""
    if not isinstance(entry, dict):
        raise OutcomeUnknown("a log that is not an object")
    topics = entry.get("topics")
    if entry.get("removed") is True or not isinstance(topics, list):
        raise OutcomeUnknown("a log that was removed or has no topics")
    return Log(
        address=bytes_of(entry.get("address")),
        topics=tuple(str(topic).lower() for topic in topics),
        data=bytes_of(entry.get("data")),
        transaction_hash=str(entry.get("transactionHash")).lower(),
        block_hash=str(entry.get("blockHash")).lower(),
        block_number=number_of(entry.get("blockNumber")),
        log_index=number_of(entry.get("logIndex")),
    )


def topic_of(value: bytes) -> str:
    """An address or a word as nodes write it among topics."""
    return "0x" + value.rjust(32, b"\0").hex()
