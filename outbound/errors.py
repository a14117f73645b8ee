"""What can go wrong with a call, told apart by the one question that matters for money: may it have been received?"""

from typing import ClassVar


class OutboundError(Exception):
    """Raised when a call brought no usable answer; a subclass says whether anything may have been sent."""

    code: ClassVar[str] = "outbound_failed"

    def __init__(self, reason: str, *, host: str = "") -> None:
        super().__init__(f"{host}: {reason}" if host else reason)
        self.reason = reason
        self.host = host


class NothingSent(OutboundError):
    """Raised when certainly no byte of the request left: no address, no connection, no TLS. Safe to go elsewhere."""

    code = "outbound_unreachable"


class AddressRefused(NothingSent):
    """Raised when the URL, or an address its host resolves to, is not one we call."""

    code = "outbound_address_refused"


class OutcomeUnknown(OutboundError):
    """Raised when the request may have been received, whatever came back: a cut, a timeout, an answer out of bounds."""

    code = "outbound_outcome_unknown"


class AnswerRefused(OutcomeUnknown):
    """Raised when an answer came that is too large, compressed without being asked, or not what it claims to be."""

    code = "outbound_answer_refused"
