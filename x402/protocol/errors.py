"""What the protocol refuses, as one tree: the class says who must change something, the attributes say what.

`MalformedPayment` answers 400, `PaymentRefused` answers 402 with a reason of the specification and fresh terms,
`UnpriceableRequest` answers 422 before any price is named.
"""

from typing import Final

AMBIGUOUS_PAYMENT: Final = "ambiguous_payment"
INVALID_PAYMENT_HEADER: Final = "invalid_payment_header"
PAYMENT_HEADER_TOO_LARGE: Final = "payment_header_too_large"
INVALID_JSON: Final = "invalid_json"
INVALID_BODY: Final = "invalid_body"


class ProtocolError(Exception):
    """Raised when a message is not what the protocol allows. `code` is stable, `detail` is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class MalformedPayment(ProtocolError):
    """Raised when a payment header or body cannot be decoded, is too large, or says two things at once: 400."""


class MalformedBody(MalformedPayment):
    """Raised when a request body is not strictly what its media type promises: 400."""


class PaymentRefused(ProtocolError):
    """Raised when a well-formed payment fails a check: 402 with `reason`, a word of the x402 specification."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason


class UnpriceableRequest(ProtocolError):
    """Raised when a well-formed request cannot be sold as asked (wrong model, zero tokens): 422, no price is named.

    `field` is the part of the body that is wrong, where one is. A code that is registered with another status (429,
    503) is answered with that: the request can be sold, only not now.
    """

    def __init__(self, code: str, detail: str, *, field: str = "") -> None:
        super().__init__(code, detail)
        self.field = field


class QuoteRefused(ProtocolError):
    """Raised when a quote token cannot be honoured. `reason` is `forged`, `expired` or `unknown_key`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason


class SignInRefused(ProtocolError):
    """Raised when a sign-in-with-x proof does not hold; `code` is the extension's word (`invalid_siwx_…`)."""
