"""What a detector is, and the clock every one of them works against."""

import threading
import time
from collections.abc import Sequence
from typing import Final, Protocol

from nft.domain.errors import DetectorFailed
from nft.domain.tokens import Collection, OwnedToken

DETECTION_SECONDS: Final = 10.0  # a visitor waits for the list; longer, and "try again" is the better answer


class NFTDetector(Protocol):
    """Finds the tokens of known collections that a wallet owns."""

    @property
    def name(self) -> str: ...

    def tokens_of(self, wallet: str, collections: Sequence[Collection], budget: "Budget") -> list[OwnedToken]:
        """Every token of these collections that the wallet owns now. Raises DetectorFailed, never a partial list."""


class Budget:
    """The time one detection has left; pauses are cut to it."""

    def __init__(self, seconds: float = DETECTION_SECONDS) -> None:
        self._ends_at = time.monotonic() + seconds

    def left_seconds(self) -> float:
        """What is left. Raises DetectorFailed when nothing is."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise DetectorFailed("out of time")
        return left

    def pause(self, seconds: float) -> None:
        """Wait, if there is that much time. Raises DetectorFailed when there is not."""
        if seconds >= self.left_seconds():
            raise DetectorFailed("no time to wait for the limit")
        threading.Event().wait(seconds)
