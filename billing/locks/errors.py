"""What the locks refuse with. Retryable and terminal refusals have different bases.

RedisUnavailable ends where Redis is used: every such place has a way on without it.
"""

from billing.domain.errors import BillingError, Retryable


class RedisUnavailable(Exception):
    """Raised when Redis cannot serve a command now: unreachable, too slow, out of memory, read-only or loading."""


class FenceRefused(BillingError):
    """Raised when the fence lets nobody write until somebody has looked; nothing was written."""

    code = "fence_refused"


class FencingTokenInvalid(FenceRefused, ValueError):
    """Raised when a token is not a whole number from 0 to 2^53 - 1; it never reaches Redis. Facts: token."""

    code = "fencing_token_invalid"


class FencingTokenOverflow(FenceRefused):
    """Raised when the next token of a stream would exceed 2^53 - 1. Facts: stream, issued."""

    code = "fencing_token_overflow"


class FencingTokenCorrupt(FenceRefused):
    """Raised when a stored value is no token; closed until `fence_reset`. Facts: stream, key, stored_value."""

    code = "fencing_token_corrupt"


class NoStreamFree(Retryable):
    """Raised when every stream is leased by a live writer; a lease ends within its lifetime."""

    code = "no_stream_free"
