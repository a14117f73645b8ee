"""`POST /api/v1/agent/chat`: a message to an NFT's agent, paid like any call.

Whoever pays may speak with an agent; only its holder may change it. The personality is read when the message is
answered. `session_id` is given back and never looked up: an agent remembers nothing between calls.
"""

import structlog
from django.http import HttpResponse, JsonResponse

from accounts.services import feature_flags
from inference.api.paid import PaidHttpRequest, charge_for, takes_json_posts
from inference.domain.agent_chat import AgentMessage, parse_agent_message
from inference.domain.chat import ChatRequest
from inference.domain.errors import UpstreamError
from inference.services.agents import agent_of, priced_chat
from inference.services.completion import PaidCompletion, complete_order
from inference.services.orders import order_of
from inference.services.pricing import ChatPrice
from nft.domain.personality import system_prompt
from nft.models import Personality
from telemetry import names
from telemetry.problem import problem_response
from x402.paywall import requires_payment
from x402.protocol.errors import UnpriceableRequest

log = structlog.get_logger(__name__)


def admit(_chat: ChatRequest, _account_id: str) -> None:
    """Sell nothing new while agents are switched off. Raises UnpriceableRequest."""
    if not feature_flags.is_enabled("nft"):
        raise UnpriceableRequest("feature_disabled", "Agents are switched off at present.")


@takes_json_posts
@requires_payment(
    price=ChatPrice(priced_chat, admit=admit),
    description="One answer of an NFT's agent, charged by its tokens",
    scheme=("exact", "upto"),
    atomic=False,
)
def agent_chat(request: PaidHttpRequest) -> HttpResponse:
    """Answer in the agent's voice and report the actual cost; an upstream's failure is failed work."""
    paid = request.x402
    message = parse_agent_message(paid.json)
    personality = agent_of(message)
    try:
        order = order_of(message.spoken(system_prompt(personality.spoken)), price_version=paid.price_version)
        made = complete_order(order)
    except UpstreamError as failure:
        log.warning(names.UPSTREAM_FAILED, upstream=failure.upstream, code=failure.code, reason=failure.reason)
        return problem_response("upstream_failed", detail="The model behind this agent gave no usable answer.")
    return JsonResponse(_answer(message, personality, made) | {"billing": charge_for(paid, order, made)})


def _answer(message: AgentMessage, personality: Personality, made: PaidCompletion) -> dict[str, object]:
    return {
        "response": made.answer,
        "finish_reason": made.finish_reason,
        "session_id": message.session_id,
        "personality": {
            "chain": personality.chain,
            "collection": personality.collection,
            "token_id": personality.token_id,
            "name": personality.spoken.name,
            "voice": personality.voice,
            "version": personality.version,
        },
    }
