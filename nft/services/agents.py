"""Which token an agent belongs to, and who may write about it: its owner, or a wallet that the owner lets act.

Both are asked of the chain at each write.
"""

from dataclasses import dataclass

from nft.domain.errors import NotTheOwner, OwnershipChanged, SeveralOwners
from nft.domain.tokens import Collection, Standard
from nft.services.known_collections import collection_of, token_id_of
from nft.services.ownership import require_owner


@dataclass(frozen=True, slots=True)
class AgentToken:
    """A token that may have an agent, in its one spelling."""

    collection: Collection
    token_id: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it this token and no other: chain, collection, token id."""
        return self.collection.chain, self.collection.address, self.token_id


def agent_token(collection: str, token_id: str, *, chain: str = "") -> AgentToken:
    """The token that a caller names. Raises InvalidToken, CollectionUnknown, SeveralOwners.

    A token of ERC-1155 may have several owners at once, who would overwrite each other's agent, so it has none.
    """
    known = collection_of(collection, chain=chain)
    if known.standard is not Standard.ERC721:
        raise SeveralOwners("Tokens of this collection may have several owners at once, so they have no agent.")
    return AgentToken(known, token_id_of(token_id))


def require_still_owner(wallet: str, token: AgentToken) -> None:
    """Raises OwnershipChanged when the wallet may not act for the token now, DetectionUnavailable when nobody can say.

    Asks the chain; call it before the transaction that writes.
    """
    try:
        require_owner(wallet, token.collection, token.token_id)
    except NotTheOwner as error:
        raise OwnershipChanged("The wallet does not own this token now.") from error
