"""The price of a chat request, as the paywall asks for it.

`ChatPrice` is what the flagship's `@requires_payment(price=…)` is given. It refuses what could not be answered
before it names any price, and gives the same maximum for the same request and price version at any time, so that
a quote need not be trusted (rule R20).
"""

from dataclasses import dataclass
from datetime import timedelta

from inference.domain.chat import ChatRequest, allowed_output_tokens, parse_chat_request
from inference.domain.errors import InvalidChatRequest
from inference.domain.prices import PriceVersion, Usage
from inference.selectors import catalogue
from inference.selectors.catalogue import OfferedModel
from telemetry.configuration import loa
from x402.pricing import PricedRequest, Quotation
from x402.protocol.errors import UnpriceableRequest


@dataclass(frozen=True, slots=True)
class ChatOrder:
    """A request that can be sold: what to ask which model, and the most tokens it can use."""

    request: ChatRequest
    model: OfferedModel
    quoted: Usage

    def maximum(self, price: PriceVersion) -> Quotation:
        """The most the order can cost at `price`. Units: MicroUSDC."""
        return Quotation(
            max_cost_micro_usdc=price.maximum_cost(self.quoted),
            price_version=price.version,
            description=(
                f"{self.model.name}: {self.quoted.input_tokens} input tokens, "
                f"at most {self.quoted.output_tokens} output tokens"
            ),
        )


class ChatPrice:
    """Prices a chat by its tokens. Safe to share between threads; reads rows, writes none."""

    def maximum(self, request: PricedRequest) -> Quotation:
        """The most this request can cost at today's price. Raises UnpriceableRequest (422, no price named)."""
        order = _order(request)
        return order.maximum(order.model.price)

    def maximum_at(self, request: PricedRequest, price_version: int) -> Quotation | None:
        """The same at an earlier version; None when that version never existed or was revoked.

        Raises UnpriceableRequest as `maximum` does.
        """
        order = _order(request)
        price = catalogue.payable_price(order.model.name, version=price_version)
        return None if price is None else order.maximum(price)

    def maximum_within(self, request: PricedRequest, seconds: int) -> list[Quotation]:
        """The same at every version that was current during the last `seconds`, newest first.

        A version 1 payment echoes no quote; it may have been signed for any of these.
        """
        order = _order(request)
        prices = catalogue.prices_current_within(order.model.name, window=timedelta(seconds=seconds))
        return [order.maximum(price) for price in prices]


def model_name_of(request: ChatRequest) -> str:
    """The model that answers: the one asked for, or the site's default."""
    return request.model if request.model is not None else loa("DEFAULT_MODEL")


def _order(request: PricedRequest) -> ChatOrder:
    try:
        chat = parse_chat_request(request.json)
        model = catalogue.offered_model(model_name_of(chat))
        if model is None:
            raise InvalidChatRequest("unknown_model", "This model is not offered.", field="model")
        allowed = allowed_output_tokens(chat, model.limits)
    except InvalidChatRequest as refusal:
        raise UnpriceableRequest(refusal.code, refusal.detail) from refusal
    return ChatOrder(request=chat, model=model, quoted=Usage(chat.input_tokens, allowed))
