"""The price of a chat request, as the paywall asks for it.

`ChatPrice` is what the flagship's `@requires_payment(price=…)` is given. It refuses what could not be answered
before it names any price, and gives the same maximum for the same request and price version at any time, so that
a quote need not be trusted (rule R20).
"""

from collections.abc import Callable
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
        if self.request.own_key:
            return Quotation(
                max_cost_micro_usdc=price.own_key_cost(),
                price_version=price.version,
                description=f"{self.model.name}, with your own key for its tokens",
            )
        return Quotation(
            max_cost_micro_usdc=price.maximum_cost(self.quoted),
            price_version=price.version,
            description=(
                f"{self.model.name}: {self.quoted.input_tokens} input tokens, "
                f"at most {self.quoted.output_tokens} output tokens"
            ),
        )


class ChatPrice:
    """Prices a chat by its tokens. Safe to share between threads; reads rows, writes none.

    `parse` reads the body in the form of the endpoint. `admit` gets the chat and the account that asks, empty while
    nobody has proved one, and may refuse a new order that cannot be served now by raising UnpriceableRequest; a payment
    that is known is never asked again.
    """

    def __init__(
        self,
        parse: Callable[[object], ChatRequest] = parse_chat_request,
        *,
        admit: Callable[[ChatRequest, str], None] | None = None,
    ) -> None:
        self._parse = parse
        self._admit = admit

    def maximum(self, request: PricedRequest) -> Quotation:
        """The most this request can cost at today's price. Raises UnpriceableRequest (422, no price named)."""
        order = self._order(request)
        if self._admit is not None:
            self._admit(order.request, request.account_id)
        return order.maximum(order.model.price)

    def maximum_at(self, request: PricedRequest, price_version: int) -> Quotation | None:
        """The same at an earlier version; None when that version never existed or was revoked.

        Raises UnpriceableRequest as `maximum` does.
        """
        order = self._order(request)
        price = catalogue.payable_price(order.model.name, version=price_version)
        return None if price is None else order.maximum(price)

    def maximum_within(self, request: PricedRequest, seconds: int) -> list[Quotation]:
        """The same at every version that was current during the last `seconds`, newest first.

        A version 1 payment echoes no quote; it may have been signed for any of these.
        """
        order = self._order(request)
        prices = catalogue.prices_current_within(order.model.name, window=timedelta(seconds=seconds))
        return [order.maximum(price) for price in prices]

    def _order(self, request: PricedRequest) -> ChatOrder:
        try:
            chat = self._parse(request.json)
            model = catalogue.offered_model(model_name_of(chat))
            if model is None:
                raise InvalidChatRequest("unknown_model", "This model is not offered.", field="model")
            missing = chat.needs - set(model.capabilities)
            if missing:
                detail = f"{model.name} cannot do this: {', '.join(sorted(missing))}."
                raise InvalidChatRequest("capability_missing", detail, field="model")
            allowed = allowed_output_tokens(chat, model.limits)
        except InvalidChatRequest as refusal:
            raise UnpriceableRequest(refusal.code, refusal.detail, field=refusal.field) from refusal
        return ChatOrder(request=chat, model=model, quoted=Usage(chat.input_tokens, allowed))


def model_name_of(request: ChatRequest) -> str:
    """The model that answers: the one asked for, or the site's default."""
    return request.model if request.model is not None else loa("DEFAULT_MODEL")
