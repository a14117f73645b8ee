"""Who owns a token now and who may act for its owner, asked of the chain; nothing here is remembered.

A holder may keep its tokens in a vault and let another wallet act for it (delegate.xyz). That wallet sees the vault's
tokens in the wizard and may write about them, as long as the delegation stands: it is asked at each write, beside the
owner. What an index said minutes ago is not asked: the token may have been sold since.
"""

from dataclasses import replace

from nft.detectors.base import Budget
from nft.domain.errors import DetectionUnavailable, DetectorFailed, InvalidToken, NotTheOwner
from nft.domain.tokens import Collection, OwnedToken
from nft.services.detection import detect_tokens
from nft.services.known_collections import known_collections, token_reads
from telemetry import names
from telemetry.logging import get_logger

ASKED = "token_reads"

log = get_logger(__name__)


def require_owner(wallet: str, collection: Collection, token_id: str) -> str:
    """The owner of a token of ERC-721 now: the wallet itself, or a vault that lets it act.

    Raises NotTheOwner, InvalidToken, DetectionUnavailable.
    """
    reads, budget = token_reads(), Budget()
    if not reads.covers(collection.chain):
        raise DetectionUnavailable
    try:
        number = int(token_id)
        owner = reads.owner_of(collection, number, budget)
        if owner and (owner == wallet or reads.is_delegate(wallet, owner, collection, number, budget)):
            return owner
    except DetectorFailed as error:
        raise _unavailable(error) from error
    except (ValueError, OverflowError) as error:
        raise InvalidToken("A token id is a whole number.") from error
    raise NotTheOwner("The wallet does not own this token, and its owner has not let it act.")


def owner_of(collection: Collection, token_id: str) -> str:
    """The wallet that owns a token now; empty when there is no such token. Raises DetectionUnavailable."""
    reads = token_reads()
    if not reads.covers(collection.chain):
        raise DetectionUnavailable
    try:
        return reads.owner_of(collection, int(token_id), Budget())
    except DetectorFailed as error:
        raise _unavailable(error) from error


def tokens_within_reach(wallet: str, *, is_fresh: bool = False) -> list[OwnedToken]:
    """What a wallet owns and what the vaults own that let it act, in this order; the latter name their vault.

    A delegation may be for one token only; which of a vault's tokens are meant is asked when one is chosen.
    Raises DetectionUnavailable.
    """
    found = list(detect_tokens(wallet, is_fresh=is_fresh).tokens)
    reads, budget = token_reads(), Budget()
    chains = sorted({one.chain for one in known_collections() if reads.covers(one.chain)})
    try:
        vaults = {vault: None for chain in chains for vault in reads.vaults_of(wallet, chain, budget)}
        for vault in vaults:
            budget.left_seconds()
            if vault != wallet:
                theirs = detect_tokens(vault, is_fresh=is_fresh).tokens
                found += [replace(token, vault=vault) for token in theirs]
    except DetectorFailed as error:
        raise _unavailable(error) from error
    return found


def _unavailable(error: DetectorFailed) -> DetectionUnavailable:
    log.warning(names.NFT_DETECTION_FAILED, detector=ASKED, reason=error.reason)
    return DetectionUnavailable()
