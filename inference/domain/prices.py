"""Which tokens a call is billed for, and at which version of a model's prices.

The arithmetic is the paywall's own (`x402.pricing`): MicroUSD per million tokens, the reserved maximum rounded up,
the charge rounded down, never less than one unit.
"""

from dataclasses import dataclass

from x402.pricing import (
    MINIMUM_CHARGE,
    PARITY,
    Rounding,
    TokenPrice,
    actual_cost_micro_usd,
    maximum_cost_micro_usd,
    to_micro_usdc,
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call consumed, or may consume. Units: tokens."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """A model's prices as one version of the catalogue has them.

    `own_key_micro_usd` is what a call costs whose tokens the buyer pays for with a key of its own. Units: MicroUSD.
    """

    version: int
    price: TokenPrice
    own_key_micro_usd: int = 0

    def own_key_cost(self) -> int:
        """What a call with the buyer's own key costs, whatever its tokens. Units: MicroUSDC."""
        return to_micro_usdc(max(self.own_key_micro_usd, MINIMUM_CHARGE), rate=PARITY, rounding=Rounding.UP).amount

    def maximum_cost(self, allowed: Usage) -> int:
        """The most a call can cost that may consume `allowed`; rounded up. Units: MicroUSDC."""
        cost = maximum_cost_micro_usd(
            self.price, input_tokens=allowed.input_tokens, max_output_tokens=allowed.output_tokens
        )
        return to_micro_usdc(cost, rate=PARITY, rounding=Rounding.UP).amount

    def actual_cost(self, consumed: Usage) -> int:
        """What a call costs that consumed `consumed`; rounded down. Units: MicroUSDC."""
        cost = actual_cost_micro_usd(
            self.price, input_tokens=consumed.input_tokens, output_tokens=consumed.output_tokens
        )
        return to_micro_usdc(cost, rate=PARITY, rounding=Rounding.DOWN).amount


def billable_usage(reported: Usage, *, quoted: Usage, answer: str) -> Usage:
    """What of a reported usage the buyer pays for.

    Never more input than was counted into the quote, never more output than was allowed, and never more
    output tokens than the answer has bytes: no tokenizer produces an empty token, so a larger figure is an
    upstream's mistake and not the buyer's.
    """
    arrived = len(answer.encode())
    return Usage(
        input_tokens=min(reported.input_tokens, quoted.input_tokens),
        output_tokens=min(reported.output_tokens, quoted.output_tokens, arrived),
    )
