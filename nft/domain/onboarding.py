"""The steps of the wizard and which may be done when. Plain Python.

Whoever has come to a step may do every earlier one again: that is going back, and scanning again. Doing a step leads to
the one after it, so a new choice of token is followed by its own personality.
"""

from enum import StrEnum
from typing import Final

from nft.domain.errors import WrongStep


class Step(StrEnum):
    """Where a holder is: the step to be done next."""

    WALLET = "wallet_connect"
    DETECT = "nft_detect"
    SELECT = "nft_select"
    PERSONALITY = "personality_config"
    CREDITS = "credit_purchase"
    LIVE = "agent_live"
    COMPLETED = "completed"


ORDER: Final = tuple(Step)


def index_of(step: str) -> int:
    """The place of a step, from 0.

    >>> index_of("nft_detect")
    1
    """
    return ORDER.index(Step(step))


def after(done: Step, *, current: str) -> Step:
    """The step that follows when `done` has been done now. Raises WrongStep when it is too early, or all is over."""
    if current == Step.COMPLETED:
        raise WrongStep("This onboarding is complete. Change the agent at its own address.")
    if index_of(done) > index_of(current):
        raise WrongStep(f"The next step is {current}.")
    return ORDER[index_of(done) + 1]


def done_before(current: str) -> list[str]:
    """The steps that lie behind, in order."""
    return [step.value for step in ORDER[: index_of(current)]]
