"""What payers tried and what they were told: the payers' own memory, which the books are compared with afterwards."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# 502: the work failed after payment, and what was paid is a credit note. 429 and other 5xx mean: the same again.
LAST_STATUSES = frozenset({200, 201, 202, 400, 401, 402, 403, 404, 409, 410, 413, 422, 502})


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer. Status 0 is no answer at all."""

    status: int
    code: str = ""
    payment_id: str = ""
    digest: str = ""

    @property
    def is_last(self) -> bool:
        """Whether a conforming client stops asking."""
        return self.status in LAST_STATUSES


@dataclass(slots=True)
class Attempt:
    """One thing somebody wants, sent again and again as the very same request until there is an answer.

    `nonce` is the authorization's, in the form of the payment rows; empty for what is paid off the chain.
    """

    deed: str
    method: str
    path: str
    body: dict[str, Any] | None
    headers: dict[str, str]
    payer: str = ""
    nonce: str = ""
    seen: list[Seen] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return any(one.is_last for one in self.seen)

    @property
    def last(self) -> Seen:
        return next((one for one in reversed(self.seen) if one.is_last), self.seen[-1] if self.seen else Seen(0))

    @property
    def good(self) -> list[Seen]:
        """The answers that gave what was paid for."""
        return [one for one in self.seen if one.status == 200]

    @property
    def is_stream(self) -> bool:
        return bool(self.body and self.body.get("stream"))


def seen_of(status: int, headers: dict[str, str], body: bytes) -> Seen:
    """What an answer says, whatever it is."""
    named = {name.lower(): value for name, value in headers.items()}
    code = ""
    if status >= 400:
        try:
            document = json.loads(body)
        except ValueError:
            document = {}
        code = str(document.get("code", "")) if isinstance(document, dict) else ""
    digest = hashlib.sha256(body).hexdigest()[:16] if status == 200 else ""
    return Seen(status, code, named.get("loa-payment-id", ""), digest)


def answers_of(attempts: list[Attempt]) -> dict[str, int]:
    """How often each last answer was given, by deed."""
    counted = Counter(f"{one.deed}: {one.last.status} {one.last.code}".rstrip() for one in attempts)
    return dict(sorted(counted.items()))
