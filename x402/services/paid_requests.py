"""Reading a request for a paid endpoint: once, strictly, within limits, before anything is decided about it.

The JSON body is parsed here and nowhere else; its parsed value is what is priced, hashed and handed to the view (R21).
"""

from dataclasses import dataclass

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.urls import resolve

from accounts.services import api_keys
from accounts.services.api_keys import KeyHolder
from accounts.services.wallet_proofs import (
    API_KEY_PREFIX,
    PROOF_HEADER,
    challenge_for,
    key_of_authorization,
    wallet_of_request,
)
from accounts.throttles import address_of
from telemetry import propagation
from telemetry.configuration import loa
from x402.chain.network_settings import networks
from x402.pricing import PricedRequest
from x402.protocol import headers, request_hash
from x402.protocol.errors import INVALID_BODY, MalformedBody, MalformedPayment
from x402.protocol.headers import PaymentHeader
from x402.protocol.request_hash import ParsedBody
from x402.protocol.siwx import Challenge as SignInChallenge
from x402.services.keys import idempotency_key_of
from x402.services.purchases import Purchase


class BodyTooLarge(Exception):
    """Raised when a body is above `BODY_BYTES`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The body is larger than {limit_bytes} bytes.")
        self.limit_bytes = limit_bytes


@dataclass(slots=True)
class PaidRequest:
    """A request for a paid endpoint, parsed.

    `wallet` is proven (lower-case address) or empty; `key` is the API key it is paid by, if any. `proof_key` names a
    single-use proof, which may then serve as the key of a spend. `quote_token` is what the payment echoed; `key_hash`
    the hash of the client's idempotency key; `purchase` the prepaid credit that is bought, where credit is sold.
    """

    priced: PricedRequest
    url: str
    request_hash: str
    header: PaymentHeader | None
    wallet: str
    account_id: str
    proof_key: str
    key_hash: str
    client_address: str
    key: KeyHolder | None = None
    purchase: Purchase | None = None
    quote_token: str = ""
    sign_in: SignInChallenge | None = None
    traceparent: str = ""


def read(request: HttpRequest, *, as_path: str | None = None) -> PaidRequest:
    """The request as the payment side sees it; with `as_path`, as if its body had been sent to that path.

    Raises MalformedPayment (400) for headers that cannot be read, MalformedBody (400) for a body that is not strictly
    JSON where it says so, BodyTooLarge (413), an AccountsError (401) for a key or a proof that does not hold.
    """
    signature, x_payment = headers.payment_values(request.headers.items())
    holder = _key_of(request, is_paid=signature is not None or x_payment is not None)
    header = headers.read_payment(
        payment_signature=signature, x_payment=x_payment, max_bytes=loa("PAYMENT_HEADER_BYTES")
    )
    parsed = _parsed(request)
    query = _query(request)
    origin = loa("PUBLIC_ORIGIN")
    path = as_path or request.path
    if "\0" in path:
        raise MalformedPayment("invalid_request", "The path holds a character that no address has.")
    match = request.resolver_match if as_path is None else None
    route = (match or resolve(path)).route
    method = request.method or "GET"
    bound = request_hash.request_hash(method=method, origin_and_path=(origin, route, path), query=query, body=parsed)
    proof = wallet_of_request(request, binding=bound.hex()) if holder is None else None
    account_id = proof.account_id if proof else holder.account_id if holder else ""
    return PaidRequest(
        priced=PricedRequest(
            method=method,
            path=path,
            query=query,
            media_type=parsed.media_type,
            json=parsed.json,
            body=parsed.raw,
            account_id=account_id,
        ),
        url=origin + (as_path or request.get_full_path()),
        request_hash=bound.hex(),
        header=header,
        wallet=proof.wallet if proof else "",
        account_id=account_id,
        proof_key=proof.single_use_key if proof else "",
        key_hash=idempotency_key_of(request),
        client_address=address_of(request),
        key=holder,
        sign_in=_sign_in(request, bound.hex()) if header is None and holder is None else None,
        traceparent=propagation.carrier_of(request.headers).get(propagation.TRACEPARENT, ""),
    )


def _key_of(request: HttpRequest, *, is_paid: bool) -> KeyHolder | None:
    """The API key this request is paid by. Raises MalformedPayment beside another way to pay, KeyRefused (401)."""
    if any(str(value).startswith(API_KEY_PREFIX) for _, values in request.GET.lists() for value in values):
        raise MalformedPayment(
            "invalid_request", "An API key belongs in the header Authorization; addresses are logged."
        )
    token = key_of_authorization(request.headers.get("Authorization", ""))
    if token is None:
        return None
    if is_paid or request.headers.get(PROOF_HEADER):
        raise MalformedPayment("ambiguous_payment", "Send either an API key or a payment header, not both.")
    return api_keys.authenticate(token)


def _sign_in(request: HttpRequest, bound: str) -> SignInChallenge:
    """What a wallet signs to prove itself for this very request (R13)."""
    challenge = challenge_for(request, binding=bound)
    return SignInChallenge(
        domain=challenge.domain,
        uri=challenge.uri,
        nonce=challenge.nonce,
        issued_at=challenge.issued_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        expiration_time=challenge.expires_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        statement=challenge.statement,
        networks=tuple(networks()),
    )


def _parsed(request: HttpRequest) -> ParsedBody:
    return request_hash.parse_body(
        _body(request), content_type=request.META.get("CONTENT_TYPE", ""), max_bytes=loa("BODY_BYTES")
    )


def _query(request: HttpRequest) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, values in request.GET.lists() for value in values)


def _body(request: HttpRequest) -> bytes:
    limit = loa("BODY_BYTES")
    announced = request.META.get("CONTENT_LENGTH") or "0"
    if not announced.isascii() or not announced.isdigit():
        raise MalformedBody(INVALID_BODY, "Content-Length is not a number.")
    if int(announced) > limit:
        raise BodyTooLarge(limit)
    try:
        body = request.body
    except RequestDataTooBig:
        raise BodyTooLarge(limit) from None
    except UnreadablePostError:
        raise MalformedBody(INVALID_BODY, "The body ended before it was complete.") from None
    if len(body) > limit:
        raise BodyTooLarge(limit)
    return body
