"""Transfers of the watched collections, read from our own nodes' logs: for a site no index tells, and beside one.

Each collection has a cursor. It is read to the chain's head, not to what is final, because a token that was sold is to
be forgotten at once; so the cursor keeps the hash of the last block it read and the transfers of the last blocks. Where
the chain has another block there, it was re-organised: the wallets of what is gone are forgotten too, and the last
blocks are read again. Reading twice does no harm: it only asks again. The first look begins at the head, because what
was remembered before is minutes old at most.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.utils import timezone

from nft.detectors.base import Budget
from nft.detectors.multicall import failures_as_one
from nft.detectors.rpc import TRANSFER, TRANSFER_BATCH, TRANSFER_SINGLE, ids_of, logs_between, topics_of
from nft.domain.errors import DetectionUnavailable, DetectorFailed
from nft.domain.tokens import Collection, Standard
from nft.models import TransferCursor
from nft.services.known_collections import known_collections, node_of
from nft.services.transfers import Transfer, follow
from outbound.json_rpc import RpcClient, number_of
from telemetry import names
from telemetry.logging import get_logger

REORG_BLOCKS: Final = 64  # two minutes of Base; deeper ones end with the cache, and each write asks the chain anyway
BLOCKS_PER_RUN: Final = 5_000  # a long outage is caught up with over several runs
RECENT_MAX: Final = 2_000
POLL_SECONDS: Final = 35.0  # of all collections together: a task has less than a minute

log = get_logger(__name__)

Seen = tuple[int, Transfer]  # the block, and what moved in it


@dataclass(frozen=True, slots=True)
class Polled:
    """What one look at a collection came to."""

    collection: str
    from_block: int
    to_block: int
    transfers: int
    is_reorganised: bool = False


def poll() -> tuple[list[Polled], list[str]]:
    """Look at every watched collection once: what was read, and the collections that could not be followed.

    The cursor of one that failed stays where it was, so that the next look begins there.
    """
    done, failed, budget = [], [], Budget(POLL_SECONDS)
    for collection in _longest_unread_first():
        node = node_of(collection.chain)
        if node is None:
            continue
        try:
            done.append(poll_collection(collection, node, budget))
        except (DetectorFailed, DetectionUnavailable) as error:
            log.warning(names.NFT_POLL_FAILED, collection=collection.address, reason=str(error))
            failed.append(collection.address)
    return done, failed


def poll_collection(collection: Collection, node: RpcClient, budget: Budget) -> Polled:
    """Read a collection's transfers since the last look and follow them. Raises DetectorFailed, DetectionUnavailable.

    No transaction is open while nodes are asked. Of two that look at once the slower one leaves the cursor alone.
    """
    cursor = TransferCursor.objects.filter(chain=collection.chain, collection=collection.address).first()
    with failures_as_one():
        head = number_of(node.call("eth_blockNumber", timeout_seconds=budget.left_seconds()))
        if cursor is None:
            _begin(collection, head + 1, _hash_of(node, head, budget))
            return Polled(collection.address, head + 1, head, 0)
        is_reorganised = _hash_of(node, cursor.next_block - 1, budget) != cursor.block_hash
        start = cursor.next_block
        if is_reorganised:
            start = max(0, min(start, head + 1) - REORG_BLOCKS)
            log.warning(names.NFT_REORG_SEEN, collection=collection.address, from_block=start)
        end = min(head, start + BLOCKS_PER_RUN - 1)
        seen = _read(node, collection, start=start, end=end, budget=budget) if start <= end else []
        last_hash = _hash_of(node, end, budget) if start <= end else cursor.block_hash
    known = _remembered(cursor)
    follow([transfer for block, transfer in [*known, *seen] if block >= start])
    if start <= end:
        _advance(cursor, end + 1, last_hash, recent=[*(one for one in known if one[0] < start), *seen])
    return Polled(collection.address, start, end, len(seen), is_reorganised)


def _longest_unread_first() -> list[Collection]:
    """Slow nodes use up the time of one look; the next begins with those that had no turn."""
    read_at = {(one.chain, one.collection): one.updated_at for one in TransferCursor.objects.all()}
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(known_collections(), key=lambda one: read_at.get(one.key, never))


def _read(node: RpcClient, collection: Collection, *, start: int, end: int, budget: Budget) -> list[Seen]:
    """The transfers of these blocks, of one chain: the last block is the same before and after."""
    kinds = [TRANSFER] if collection.standard is Standard.ERC721 else [TRANSFER_SINGLE, TRANSFER_BATCH]
    wanted = {"address": collection.address, "topics": [kinds]}
    before = _hash_of(node, end, budget)
    seen = []
    for entry in logs_between(node, wanted, ranges=[(start, end)], budget=budget):
        topics = topics_of(entry)
        sender, receiver = ("0x" + str(topic)[-40:] for topic in (topics[1:3] if len(kinds) == 1 else topics[2:4]))
        numbers = [str(number) for number in ids_of(entry)] if len(kinds) == 1 else [""]
        block = number_of(entry["blockNumber"])
        moved = (Transfer(sender, receiver, collection.address, number, collection.chain) for number in numbers)
        seen += [(block, one) for one in moved]
    if _hash_of(node, end, budget) != before:
        raise DetectorFailed("the chain changed while it was read")
    return seen


def _hash_of(node: RpcClient, number: int, budget: Budget) -> str:
    """A block's hash; empty when the chain is not that long."""
    block = node.call("eth_getBlockByNumber", [hex(max(0, number)), False], timeout_seconds=budget.left_seconds())
    if block is None:
        return ""
    if not isinstance(block, dict) or not isinstance(block.get("hash"), str):
        raise ValueError("a block has no hash")
    return str(block["hash"])


def _begin(collection: Collection, next_block: int, block_hash: str) -> None:
    TransferCursor.objects.get_or_create(
        chain=collection.chain,
        collection=collection.address,
        defaults={"next_block": next_block, "block_hash": block_hash},
    )


def _remembered(cursor: TransferCursor) -> list[Seen]:
    return [(block, Transfer(*words)) for block, *words in cursor.recent]


def _advance(cursor: TransferCursor, next_block: int, block_hash: str, *, recent: list[Seen]) -> None:
    young = [one for one in recent if one[0] >= next_block - REORG_BLOCKS][-RECENT_MAX:]
    words = [[block, one.sender, one.receiver, one.collection, one.token_id, one.chain] for block, one in young]
    unchanged = TransferCursor.objects.filter(pk=cursor.pk, next_block=cursor.next_block, block_hash=cursor.block_hash)
    unchanged.update(next_block=next_block, block_hash=block_hash, recent=words, updated_at=timezone.now())
