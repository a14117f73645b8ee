"""One trace for a quote and its payment, which are two HTTP requests (decision 8)."""

from collections.abc import Mapping

from django.http import HttpRequest

from telemetry import propagation
from x402.protocol import headers, quote_token
from x402.protocol.errors import ProtocolError
from x402.protocol.payload import read_payload
from x402.services.offers import quote_keys


def carrier_of_request(request: HttpRequest) -> Mapping[str, str]:
    """What the request's root span follows: the caller's `traceparent`, else the one carried in the quote it pays.

    A payment that cannot be read carries none; it is refused later, by the code that answers it.
    """
    incoming = propagation.carrier_of(request.headers)
    if incoming:
        return incoming
    try:
        signature, x_payment = headers.payment_values(request.headers.items())
        header = headers.read_payment(payment_signature=signature, x_payment=x_payment)
        token = read_payload(header).quote_token if header else None
        return propagation.unpacked(quote_token.authenticate(token, keys=quote_keys()).trace_context) if token else {}
    except ProtocolError:
        return {}
