"""Which tokens of the known collections a wallet owns: one answer for five minutes, found once however many ask.

The indexer is asked first, behind a breaker; the nodes where it is away, declines, or has no key. An outage of both is
`detection_unavailable`, never an empty list. The answer is kept in Redis under the chain set, the wallet and the set
of collections, so that a changed configuration is a new question; without Redis every process asks for itself.
Source: plan 13.1.
"""

import hashlib
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from nft.detectors.base import Budget, NFTDetector
from nft.domain.errors import DetectionUnavailable, DetectorFailed
from nft.domain.tokens import Collection, OwnedToken
from nft.metrics import DETECTIONS
from nft.services.flights import Flights
from nft.services.known_collections import alchemy_detector, known_collections, rpc_detector
from outbound.breaker_state import Breaker, CircuitOpen
from outbound.redis_scripts import ask
from telemetry import names
from telemetry.configuration import loa, redis_key
from telemetry.logging import get_logger

SHORT_POLL_SECONDS: Final = 0.05
LEADER_SECONDS: Final = 12  # longer than a detection may take: a dead leader is replaced after it

log = get_logger(__name__)
_breaker = Breaker("nft_detection")


@dataclass(frozen=True, slots=True)
class Detection:
    """What a wallet owns, who said so, and whether it was remembered."""

    wallet: str
    tokens: tuple[OwnedToken, ...]
    source: str
    is_cached: bool = False


_flights: Flights[Detection] = Flights(seconds=2 * LEADER_SECONDS)


def detect_tokens(wallet: str, *, is_fresh: bool = False) -> Detection:
    """Every token of the known collections that `wallet` (canonical) owns.

    `is_fresh` asks anew whatever is remembered. Raises DetectionUnavailable when nobody can say.
    Concurrency: among callers of one wallet, in all processes that share a Redis, one asks and the others wait for it.
    """
    collections = known_collections()
    if not collections:
        return Detection(wallet, (), "none")
    key = _key_of(wallet, collections)
    if is_fresh:
        _forget(key)
    found, is_shared = _flights.fly(key, lambda: _once_among_processes(key, wallet, collections))
    return replace(found, is_cached=True) if is_shared else found


def forget_wallet(wallet: str) -> None:
    """Ask anew at the next detection of this wallet: a transfer from or to it was seen."""
    _forget(_key_of(wallet, known_collections()))


def _once_among_processes(key: str, wallet: str, collections: Sequence[Collection]) -> Detection:
    remembered = _remembered(key)
    if remembered is not None:
        return remembered
    deadline = time.monotonic() + LEADER_SECONDS
    while not _leads(key) and time.monotonic() < deadline:
        threading.Event().wait(SHORT_POLL_SECONDS)
        remembered = _remembered(key)
        if remembered is not None:
            return remembered
    try:
        found = _ask_detectors(wallet, collections)
        _remember(key, found)
        return found
    finally:
        _stop_leading(key)


def _ask_detectors(wallet: str, collections: Sequence[Collection]) -> Detection:
    budget = Budget()
    indexer, nodes = alchemy_detector(), rpc_detector()
    indexed = [one for one in collections if indexer is not None and indexer.covers(one.chain)]
    tokens: list[OwnedToken] = []
    sources = []
    left = list(collections)
    if indexer is not None and indexed:
        found = _from_indexer(indexer, wallet, indexed, budget)
        if found is not None:
            tokens += found
            sources.append(indexer.name)
            left = [one for one in collections if one not in indexed]
    if left:
        tokens += _from_nodes(nodes, wallet, left, Budget() if not sources else budget)
        sources.append(nodes.name)
    DETECTIONS.labels(source=sources[0]).inc()
    ordered = tuple(sorted(tokens, key=lambda one: (one.chain, one.collection, int(one.token_id))))
    return Detection(wallet, ordered, "+".join(sources))


def _from_indexer(
    indexer: NFTDetector, wallet: str, collections: Sequence[Collection], budget: Budget
) -> list[OwnedToken] | None:
    try:
        with _breaker.guard(DetectorFailed):
            return indexer.tokens_of(wallet, collections, budget)
    except CircuitOpen as error:
        log.warning(names.NFT_CIRCUIT_OPEN, retry_after_seconds=error.retry_after_seconds)
    except DetectorFailed as error:
        log.warning(names.NFT_DETECTION_FAILED, detector=indexer.name, reason=error.reason)
    return None


def _from_nodes(nodes: NFTDetector, wallet: str, collections: Sequence[Collection], budget: Budget) -> list[OwnedToken]:
    try:
        return nodes.tokens_of(wallet, collections, budget)
    except DetectorFailed as error:
        DETECTIONS.labels(source="unavailable").inc()
        log.warning(names.NFT_DETECTION_FAILED, detector=nodes.name, reason=error.reason)
        raise DetectionUnavailable from error


def _key_of(wallet: str, collections: Sequence[Collection]) -> str:
    asked = hashlib.sha256(json.dumps([one.key for one in collections]).encode()).hexdigest()[:16]
    return redis_key(f"nft:detection:{asked}:{wallet}")


def _remembered(key: str) -> Detection | None:
    text = ask(lambda client: client.get(key))
    if not isinstance(text, bytes):
        return None
    document = json.loads(text)
    tokens = tuple(OwnedToken(**token) for token in document["tokens"])
    return Detection(document["wallet"], tokens, document["source"], is_cached=True)


def _remember(key: str, found: Detection) -> None:
    document = {"wallet": found.wallet, "source": found.source, "tokens": [asdict(token) for token in found.tokens]}
    ask(lambda client: client.set(key, json.dumps(document), ex=loa("NFT_DETECTION_CACHE_SECONDS")))


def _forget(key: str) -> None:
    ask(lambda client: client.delete(key))


def _leads(key: str) -> bool:
    """Whether this process is the one that asks; without Redis every process is."""
    return ask(lambda client: bool(client.set(f"{key}:leader", "1", nx=True, ex=LEADER_SECONDS))) is not False


def _stop_leading(key: str) -> None:
    _forget(f"{key}:leader")
