"""The payment side's metrics. Labels are bounded: outcomes, methods, states; never a wallet, an id or a path."""

from typing import Final

from telemetry import names
from telemetry.metrics import counter, gauge, histogram

QUOTES: Final = counter(names.X402_QUOTES, "Quotes made.")
VERIFICATIONS: Final = counter(names.X402_VERIFICATIONS, "Payments looked at, by outcome.", labels=("outcome",))
VERIFICATION_SECONDS: Final = histogram(names.X402_VERIFICATION_SECONDS, "Time to verify a payment that is new.")
REPLAYS: Final = counter(names.X402_REPLAYS, "Payments that were presented again and cost nothing.")
SETTLEMENTS: Final = counter(
    names.X402_SETTLEMENTS, "Settlements booked or given up, by way and outcome.", labels=("method", "outcome")
)
SETTLEMENT_SECONDS: Final = histogram(names.X402_SETTLEMENT_SECONDS, "From the row of a payment to its settlement.")
PAYMENTS_BY_STATE: Final = gauge(names.X402_PAYMENTS_BY_STATE, "Payments that are not at an end.", labels=("state",))
REVENUE: Final = counter(names.X402_REVENUE, "What served calls were charged. Units: MicroUSDC.")
OVERRUN: Final = counter(names.X402_OVERRUN, "What calls cost beyond their maximum. Units: MicroUSDC.")
OLDEST_PENDING: Final = gauge(names.SETTLEMENT_OLDEST_PENDING, "Age of the oldest payment that waits to be settled.")
