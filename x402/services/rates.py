"""How often a wallet may begin a payment, and a client may ask for terms. A known payment is never limited (R19)."""

from accounts import throttles


class RateLimited(Exception):
    """Raised when a bucket is full. `retry_after_seconds` says when there is room again."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


def require_rate(bucket: str, subject: str) -> None:
    """Count one request of this subject. Raises RateLimited when that is one too many."""
    verdict = throttles.check(bucket, subject)
    if not verdict.allowed:
        raise RateLimited(verdict.retry_after_seconds)
