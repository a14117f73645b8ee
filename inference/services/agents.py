"""Which agent a message is for: the token in its one spelling, and the personality it has now."""

from inference.domain.agent_chat import AgentMessage, parse_agent_message
from inference.domain.chat import ChatRequest
from inference.domain.errors import InvalidChatRequest
from nft.domain.errors import NftError
from nft.domain.tokens import Standard
from nft.models import Personality
from nft.selectors import personalities
from nft.services.agents import agent_token
from nft.services.known_collections import known_collections


def priced_chat(body: object) -> ChatRequest:
    """What `ChatPrice` prices. Raises InvalidChatRequest, also when there is no such agent: then nothing is sold."""
    message = parse_agent_message(body)
    agent_of(message)
    return message.priced()


def agent_of(message: AgentMessage) -> Personality:
    """The personality of the agent that is spoken to. Raises InvalidChatRequest."""
    try:
        token = agent_token(message.collection or _only_collection(), message.token_id, chain=message.chain)
    except NftError as error:
        raise InvalidChatRequest(error.code, error.detail, field="token_id") from error
    found = personalities.get(*token.key)
    if found is None:
        raise InvalidChatRequest("personality_not_found", "This token has no agent yet.", field="token_id")
    return found


def _only_collection() -> str:
    with_agents = [one for one in known_collections() if one.standard is Standard.ERC721]
    if len(with_agents) != 1:
        raise InvalidChatRequest("collection_unknown", "Name the collection of the token.", field="collection")
    return with_agents[0].address
