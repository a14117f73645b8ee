"""A chat that was paid for: what to ask which model, at most how much, and at which prices."""

from dataclasses import dataclass

from inference.domain.chat import ChatRequest, allowed_output_tokens
from inference.domain.errors import UpstreamUnavailable
from inference.domain.prices import Usage
from inference.selectors import catalogue
from inference.selectors.catalogue import OfferedModel, Route
from inference.services.pricing import model_name_of
from inference.upstreams.base import CompletionRequest


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """A chat with the model and the prices it was paid for. `quoted` is what was reserved. Units: tokens."""

    chat: ChatRequest
    model: OfferedModel
    quoted: Usage
    api_key: str = ""

    def asked_of(self, route: Route) -> CompletionRequest:
        """The chat as one upstream is asked."""
        return CompletionRequest(
            model=route.upstream_model,
            messages=self.chat.messages,
            max_tokens=self.quoted.output_tokens,
            tools=self.chat.tools,
            options=self.chat.options,
            api_key=self.api_key,
        )

    def cost_of(self, usage: Usage) -> int:
        """What the buyer pays: for its tokens, or the fee when its own key paid for those. Units: MicroUSDC."""
        return self.model.price.own_key_cost() if self.chat.own_key else self.model.price.actual_cost(usage)


def order_of(chat: ChatRequest, *, price_version: int, api_key: str = "", upstream: str = "") -> PaidOrder:
    """The order a payment bought, at the version that was paid, even when it was withdrawn since.

    With an `api_key` of the buyer's only `upstream`, whose key it is, is asked. Raises InvalidChatRequest for a chat
    that was never priced, and UpstreamUnavailable when nobody answers for the model any more.
    """
    name = model_name_of(chat)
    model = catalogue.paid_model(name, version=price_version)
    if model is None:
        raise UpstreamUnavailable(name, "the model is no longer in the catalogue")
    if api_key:
        model = catalogue.with_routes(model, [route for route in model.routes if route.upstream == upstream])
    return PaidOrder(chat, model, Usage(chat.input_tokens, allowed_output_tokens(chat, model.limits)), api_key)
