"""What the locks refuse with. Retryable and terminal refusals have different bases.

RedisUnavailable never leaves this package's callers unhandled: every use of Redis here has a way on without it.
"""

from billing.domain.errors import BillingError


class RedisUnavailable(Exception):
    """Raised when Redis cannot serve a command now: unreachable, too slow, out of memory, read-only or loading."""


class FenceError(BillingError):
    """Raised when a writer may not write; nothing was written."""

    code = "fence_refused"


class FencingTokenInvalid(FenceError, ValueError):
    """Raised when a token is not a whole number from 0 to 2^53 - 1; it never reaches Redis."""

    code = "fencing_token_invalid"

    def __init__(self, token: object) -> None:
        super().__init__(f"a fencing token is a whole number from 0 to 2^53 - 1, not {token!r}")
        self.token = token


class FencingTokenOverflow(FenceError):
    """Raised when the next token of a stream would exceed 2^53 - 1. Terminal: an operator must look."""

    code = "fencing_token_overflow"

    def __init__(self, *, stream: int, issued: int) -> None:
        super().__init__(f"stream {stream} has issued token {issued}; the next one would exceed 2^53 - 1")
        self.stream, self.issued = stream, issued


class FencingTokenCorrupt(FenceError):
    """Raised when a stored fence value is not a canonical decimal. Fails closed until `fence_reset`."""

    code = "fencing_token_corrupt"

    def __init__(self, *, stream: int, key: str, stored_value: str) -> None:
        super().__init__(f"{key} of stream {stream} holds {stored_value!r}, which is no fencing token")
        self.stream, self.key, self.stored_value = stream, key, stored_value


class StaleToken(FenceError):
    """Raised when a stream's row refuses a token: another writer was there first. Nothing was written.

    `row_token` and `row_holder` are the row as the refusal saw it; they tell whether the lease is still ours.
    """

    code = "stale_token"

    def __init__(self, *, stream: int, token: int, row_token: int, row_holder: str) -> None:
        super().__init__(f"stream {stream} refused token {token}: its row is at {row_token}, held by {row_holder!r}")
        self.stream, self.token, self.row_token, self.row_holder = stream, token, row_token, row_holder


class NoStreamFree(FenceError):
    """Raised when every stream is leased by a live writer. Retryable: a lease ends within its lifetime."""

    code = "no_stream_free"
