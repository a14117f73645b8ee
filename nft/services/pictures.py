"""Pictures of tokens, fetched by us and served by us: a visitor's browser never asks a server that a minter chose.

The contract says where a token is described, the description names a picture, and both are read through the guarded
client: bounded in size and time, at most three redirects, each judged anew, none into our own network. What was found
is kept as a row for a day, that there was nothing for ten minutes; rows are a cache of bounded size.
"""

import hashlib
from datetime import timedelta
from typing import Final

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from nft.detectors.base import Budget
from nft.domain.errors import CollectionUnknown, DetectionUnavailable, DetectorFailed, PictureMissing
from nft.domain.token_uris import (
    METADATA_BYTES_MAX,
    PICTURE_BYTES_MAX,
    UriRefused,
    embedded_bytes,
    is_embedded,
    is_of_the_gateway,
    location_of,
    next_location,
    picture_uri_of,
    raster_type_of,
)
from nft.models import Personality, TokenPicture
from nft.services.agents import AgentToken, agent_token
from nft.services.flights import Flights
from nft.services.known_collections import token_reads
from outbound import http
from outbound.errors import OutboundError
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger

KEPT: Final = timedelta(days=1)
MISSING_KEPT: Final = timedelta(minutes=10)
AGENTS_PER_RUN: Final = 3  # each may take all of its time, and a task has less than a minute
PICTURES_MAX: Final = 2_000  # rows: two gigabytes at the very most
REDIRECTS_MAX: Final = 3
FETCH_SECONDS: Final = 12.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

log = get_logger(__name__)
_flights: Flights[TokenPicture] = Flights(seconds=FETCH_SECONDS + 3)


def picture_of(token: AgentToken) -> TokenPicture:
    """A token's picture, remembered or fetched now; threads that ask at once share one fetch.

    Raises PictureMissing when there is none to show, DetectionUnavailable when the contract cannot be asked.
    """
    row = _remembered(token)
    if row is None:
        row, _is_shared = _flights.fly("/".join(token.key), lambda: _remembered(token) or _fetched(token))
    if not row.body:
        raise PictureMissing("There is no picture of this token to show.")
    return row


def is_known(token: AgentToken) -> bool:
    """Whether there is a picture of the token here already: a page shows none that would first have to be fetched."""
    row = _remembered(token)
    return row is not None and bool(row.body)


def fetch_for_agents(limit: int = AGENTS_PER_RUN) -> int:
    """Fetch the pictures of tokens that have an agent and no picture of today; how many were found.

    Raises DetectionUnavailable when a contract cannot be asked.
    """
    now = timezone.now()
    asked = TokenPicture.objects.filter(
        Q(fetched_at__gt=now - MISSING_KEPT) | Q(fetched_at__gt=now - KEPT, reason=""),
        **{name: OuterRef(name) for name in ("chain", "collection", "token_id")},
    )
    agents = Personality.objects.exclude(Exists(asked)).order_by("-updated_at")[:limit]
    found = 0
    for row in agents:
        try:
            found += bool(picture_of(agent_token(row.collection, row.token_id, chain=row.chain)).body)
        except (PictureMissing, CollectionUnknown):
            continue
    return found


def sweep() -> int:
    """Delete what is old and what is too much; how many rows."""
    old, _ = TokenPicture.objects.filter(fetched_at__lt=timezone.now() - KEPT).delete()
    beyond = list(TokenPicture.objects.order_by("-fetched_at").values_list("pk", flat=True)[PICTURES_MAX:])
    surplus, _ = TokenPicture.objects.filter(pk__in=beyond).delete()
    return old + surplus


def bytes_at(uri: str, *, bytes_max: int, budget: Budget) -> bytes:
    """What a stranger's address leads to. Raises UriRefused; DetectorFailed when the time is up."""
    if is_embedded(uri):
        return embedded_bytes(uri, bytes_max=bytes_max)
    url, is_ours = location_of(uri, gateway=loa("NFT_IPFS_GATEWAY")), is_of_the_gateway(uri)
    for _ in range(1 + REDIRECTS_MAX):
        answer = _ask(url, bytes_max=bytes_max, budget=budget, is_ours=is_ours)
        if answer.status in _REDIRECTS:
            url, is_ours = next_location(url, answer.headers.get("location", "")), False
        elif answer.status == 200:
            return answer.body
        else:
            raise UriRefused(f"a server answered {answer.status}")
    raise UriRefused("there are too many redirects")


def _ask(url: str, *, bytes_max: int, budget: Budget, is_ours: bool) -> http.OutboundResponse:
    left = budget.left_seconds()
    request = http.OutboundRequest(
        method="GET",
        url=url,
        headers={"Accept": "application/json, image/png, image/jpeg, image/gif, image/webp"},
        purpose="token_uri",
        read_timeout_seconds=min(left, http.READ_TIMEOUT_SECONDS),
        total_timeout_seconds=left,
        response_bytes_max=bytes_max,
        is_strangers_choice=not is_ours,
    )
    try:
        return http.send(request)
    except OutboundError as error:
        raise UriRefused(error.code) from None


def _remembered(token: AgentToken) -> TokenPicture | None:
    chain, collection, token_id = token.key
    row = TokenPicture.objects.filter(chain=chain, collection=collection, token_id=token_id).first()
    if row is None:
        return None
    kept = KEPT if row.body else MISSING_KEPT
    return row if row.fetched_at > timezone.now() - kept else None


def _fetched(token: AgentToken) -> TokenPicture:
    budget, facts = Budget(FETCH_SECONDS), {"media_type": "", "body": b"", "digest": "", "reason": ""}
    try:
        body = _picture_bytes(token, budget)
        facts |= {"media_type": raster_type_of(body), "body": body, "digest": hashlib.sha256(body).hexdigest()}
    except UriRefused as refusal:
        facts["reason"] = refusal.reason
        log.info(names.NFT_PICTURE_REFUSED, collection=token.collection.address, reason=refusal.reason)
    chain, collection, token_id = token.key
    row, _ = TokenPicture.objects.update_or_create(
        chain=chain, collection=collection, token_id=token_id, defaults=facts | {"fetched_at": timezone.now()}
    )
    return row


def _picture_bytes(token: AgentToken, budget: Budget) -> bytes:
    uri = _token_uri(token, budget)
    if not uri:
        raise UriRefused("the contract describes no such token")
    try:
        described = bytes_at(uri, bytes_max=METADATA_BYTES_MAX, budget=budget)
        return bytes_at(picture_uri_of(described), bytes_max=PICTURE_BYTES_MAX, budget=budget)
    except DetectorFailed as error:
        raise UriRefused(error.reason) from error


def _token_uri(token: AgentToken, budget: Budget) -> str:
    reads = token_reads()
    if not reads.covers(token.collection.chain):
        raise DetectionUnavailable
    try:
        return reads.token_uri(token.collection, int(token.token_id), budget)
    except DetectorFailed as error:
        raise DetectionUnavailable from error
