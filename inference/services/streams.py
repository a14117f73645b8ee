"""A paid answer that is given on while an upstream makes it, metered piece by piece.

It ends by itself, or at the paid maximum, or because this process ends, or because the upstream breaks: in each case
the buyer pays for what arrived and never more. An upstream is asked again elsewhere only while nothing was given on.

Two counts run along. What is charged, if the stream is cut, is our own count of the text. What stops an upstream that
goes on for ever is a lower bound of the tokens in it (each piece is at least one, no alphabet needs more than six bytes
for one), because our count of some alphabets is above theirs and must not cut an answer that was paid for.
"""

import contextvars
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Final

import structlog

from inference.domain.errors import UpstreamError, UpstreamGarbage
from inference.domain.prices import Usage
from inference.domain.tokens import count_tokens
from inference.selectors.catalogue import Route
from inference.services.completion import Metered, meter
from inference.services.orders import PaidOrder
from inference.services.routing import breaker_of, first_answer
from inference.upstreams.base import Piece
from inference.upstreams.registry import upstream
from outbound.breaker_state import CircuitOpen
from telemetry import names

log = structlog.get_logger(__name__)

BYTES_PER_TOKEN_MAX: Final = 6
LENGTH: Final = "length"
ERROR: Final = "error"


class _Connection:
    """One upstream's stream, opened and read in a context of its own: its span ends in another order than ours."""

    def __init__(self, order: PaidOrder, route: Route) -> None:
        self._upstream = route.upstream
        self._context = contextvars.copy_context()
        self._stack = ExitStack()
        try:
            self._pieces = self._context.run(
                self._stack.enter_context, upstream(route.upstream).stream(order.asked_of(route))
            )
            self.first = self._first()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Piece]:
        piece: Piece | None = self.first
        while piece is not None:
            yield piece
            piece = self.next()

    def next(self) -> Piece | None:
        """The next piece, or None at the end. Raises UpstreamError."""
        return self._context.run(next, self._pieces, None)

    def close(self) -> None:
        """End the call, whatever was read."""
        self._context.run(self._stack.close)

    def _first(self) -> Piece:
        """The first piece that brings something. Raises UpstreamError when none does: nothing was bought then."""
        while (piece := self.next()) is not None:
            if piece.written_text:
                return piece
        raise UpstreamGarbage(self._upstream, "the stream holds no answer")


class StreamedAnswer:
    """The pieces of one paid answer, and what they come to. Iterate once; `close` in any case.

    `finish_reason` and `failure` are known at the end.
    """

    def __init__(self, order: PaidOrder) -> None:
        """Open the stream and wait for its first piece. Raises UpstreamError: then nothing was given on."""
        self.order = order
        self._text: list[str] = []
        self._pieces = 0
        self._bytes = 0
        self._counted = 0
        self._reported: Usage | None = None
        self.finish_reason = ""
        self.failure: UpstreamError | None = None
        route, self._connection = first_answer(
            order.model, lambda route: _Connection(order, route), counts=not order.api_key
        )
        self.upstream = route.upstream

    def __iter__(self) -> Iterator[Piece]:
        """Each piece that was paid for, as it arrives."""
        try:
            for piece in self._connection:
                if not self._take(piece):
                    break
                if piece.written_text:
                    yield piece
        except UpstreamError as failure:
            self.failure, self.finish_reason = failure, ERROR
            log.warning(names.UPSTREAM_FAILED, upstream=self.upstream, code=failure.code, reason=failure.reason)
            self._tell_circuit()
        self.finish_reason = self.finish_reason or "stop"

    def close(self) -> None:
        """End the upstream's call; it stops writing what nobody will read."""
        self._connection.close()

    @property
    def cost_so_far(self) -> int:
        """What has arrived costs at most, by our own running count. Units: MicroUSDC."""
        return self.order.cost_of(self._limited(self._counted))

    def metered(self) -> Metered:
        """What was consumed, from what the upstream reported at the end, else from our count."""
        return meter(self._reported, written="".join(self._text), order=self.order)

    def _take(self, piece: Piece) -> bool:
        """Count a piece; False when it is beyond what was paid for, and then it is not given on."""
        self._reported = piece.usage or self._reported
        self.finish_reason = piece.finish_reason or self.finish_reason
        text = piece.written_text
        if not text:
            return True
        counted = self._counted + count_tokens(text)
        size = self._bytes + len(text.encode())
        certain = max(self._pieces + 1, min(counted, -(-size // BYTES_PER_TOKEN_MAX)))
        if certain > self.order.quoted.output_tokens:
            self.finish_reason = LENGTH
            return False
        self._counted, self._bytes, self._pieces = counted, size, self._pieces + 1
        self._text.append(text)
        return True

    def _tell_circuit(self) -> None:
        """The upstream broke in the middle of an answer; a circuit that is open already needs no telling."""
        if not self.order.api_key:
            breaker = breaker_of(self.upstream)
            with suppress(CircuitOpen):
                breaker.failed(breaker.admit())

    def _limited(self, written: int) -> Usage:
        return Usage(self.order.quoted.input_tokens, min(written, self.order.quoted.output_tokens))
