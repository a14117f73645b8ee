"""Transfers of tokens, whoever tells of them: what was remembered of both wallets is forgotten, and agents follow.

An index tells by a signed notice (below), nodes by their logs (`transfer_polling`). A notice is believed when it is
signed by a key of the settings; an old one that is sent again only makes us ask again.
Source: Alchemy, "Notify API": X-Alchemy-Signature is the HMAC-SHA256 of the raw body, in hex.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Q

from accounts.addresses import canonical_wallet
from nft.domain.tokens import Standard, canonical_collection, canonical_token_id
from nft.models import OnboardingSession, Personality
from nft.services.agents import AgentToken
from nft.services.detection import forget_wallet
from nft.services.handover import hand_over
from nft.services.known_collections import known_collections
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger

ACTIVITIES_MAX: Final = 1_000
TOKENS_ASKED_AT_ONCE: Final = 500

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Transfer:
    """One token's way from a wallet to another. An empty wallet, collection or token id is one that was not told."""

    sender: str
    receiver: str
    collection: str = ""
    token_id: str = ""
    chain: str = ""  # empty: whichever of the known collections is at this address


def is_signed(body: bytes, signature: str) -> bool:
    """Whether a notice was signed by one of our keys; false where there is none."""
    given = signature.strip().lower().encode()
    expected = [hmac.new(key.encode(), body, hashlib.sha256).hexdigest() for key in loa("ALCHEMY_SIGNING_KEYS")]
    return any(hmac.compare_digest(one.encode(), given) for one in expected)


def note_transfers(document: object) -> int:
    """Follow each transfer of a notice; how many wallets there were. Passes over what is no transfer.

    Raises DetectionUnavailable when an agent's token cannot be asked about: whoever tells is to tell again.
    """
    return follow([_told(activity) for activity in _activities(document) if isinstance(activity, Mapping)])


def follow(transfers: Sequence[Transfer]) -> int:
    """Ask anew about every wallet of these transfers, and let the agents of the tokens go with them.

    Raises DetectionUnavailable; what was done before that is as good done twice.
    """
    wallets = sorted({wallet for one in transfers for wallet in (one.sender, one.receiver) if wallet})
    for wallet in wallets:
        forget_wallet(wallet)
    handed = sum(hand_over(token) for token in _with_something_kept(_agent_tokens(transfers)))
    if wallets:
        log.info(names.NFT_TRANSFERS_SEEN, wallet_count=len(wallets), handed_over=handed)
    return len(wallets)


def _agent_tokens(transfers: Iterable[Transfer]) -> list[AgentToken]:
    known = [one for one in known_collections() if one.standard is Standard.ERC721]
    tokens = {
        (*one.key, moved.token_id): AgentToken(one, moved.token_id)
        for moved in transfers
        for one in known
        if moved.token_id and one.address == moved.collection and moved.chain in ("", one.chain)
    }
    return list(tokens.values())


def _with_something_kept(tokens: Sequence[AgentToken]) -> list[AgentToken]:
    """Those of which we keep a personality or an onboarding: the chain is asked about these alone."""
    kept: set[tuple[str, str, str]] = set()
    for start in range(0, len(tokens), TOKENS_ASKED_AT_ONCE):
        wanted = Q()
        for token in tokens[start : start + TOKENS_ASKED_AT_ONCE]:
            chain, collection, token_id = token.key
            wanted |= Q(chain=chain, collection=collection, token_id=token_id)
        for rows in (Personality.objects.filter(wanted), OnboardingSession.objects.filter(wanted, completed_at=None)):
            kept.update(rows.values_list("chain", "collection", "token_id"))
    return [token for token in tokens if token.key in kept]


def _activities(document: object) -> list[object]:
    event = document.get("event") if isinstance(document, Mapping) else None
    activities = event.get("activity") if isinstance(event, Mapping) else None
    return activities[:ACTIVITIES_MAX] if isinstance(activities, list) else []


def _told(activity: Mapping[str, object]) -> Transfer:
    return Transfer(
        sender=_spelled(canonical_wallet, activity.get("fromAddress")),
        receiver=_spelled(canonical_wallet, activity.get("toAddress")),
        collection=_spelled(canonical_collection, activity.get("contractAddress")),
        token_id=_spelled(canonical_token_id, activity.get("erc721TokenId")),
    )


def _spelled(spell: Callable[[str], str], told: object) -> str:
    """What was told, in one spelling; empty when it is not what it should be."""
    try:
        return spell(told) if isinstance(told, str) else ""
    except ValueError:
        return ""
