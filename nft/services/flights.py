"""One question however many threads of this process ask it at the same time: they share its answer, or its failure."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from nft.domain.errors import DetectionUnavailable, NftError

Landed = TypeVar("Landed")


class _Flight(Generic[Landed]):
    def __init__(self) -> None:
        self.landed = threading.Event()
        self.found: Landed | None = None
        self.error: BaseException | None = None


class Flights(Generic[Landed]):
    """Whoever asks first asks; the others wait for it, at most `seconds`."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._under_way: dict[str, _Flight[Landed]] = {}

    def fly(self, key: str, ask: Callable[[], Landed]) -> tuple[Landed, bool]:
        """The answer, and whether another thread asked for it. Raises what asking raised."""
        with self._lock:
            flight = self._under_way.get(key)
            leads = flight is None
            if flight is None:
                flight = self._under_way[key] = _Flight()
        if not leads:
            return self._wait(flight), True
        try:
            found = flight.found = ask()
            return found, False
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                del self._under_way[key]
            flight.landed.set()

    def _wait(self, flight: _Flight[Landed]) -> Landed:
        flight.landed.wait(self._seconds)
        if flight.found is not None:
            return flight.found
        if isinstance(flight.error, NftError):
            raise flight.error
        raise DetectionUnavailable from flight.error
