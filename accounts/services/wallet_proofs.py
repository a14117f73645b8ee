"""Which wallet a request proves to come from, without a cookie: a bearer session, or a proof for this request alone.

A SIGN-IN-WITH-X header would be a bearer for its lifetime; here its nonce is bound to one request (method, address,
body) and serves once (rule R13). The nonce comes from a challenge in the 402 of that same request, which writes no row.
A cookie proves nothing here: `<img src=paid-url>` carries cookies.
"""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.http import HttpRequest

from accounts.services import nonces
from accounts.services.account_of_wallet import account_id_of_wallet
from accounts.services.errors import KeyRefused, SessionRefused, SignInRefused, WalletProofRefused
from accounts.services.sessions import signed_in
from accounts.services.sign_in_expectations import Expectation, site_expectation
from telemetry.configuration import loa

PROOF_HEADER: Final = "SIGN-IN-WITH-X"
PROOF_BYTES_MAX: Final = 8 * 1024
API_KEY_PREFIX: Final = "dk_"
STATEMENT: Final = "Prove this wallet for one request."

_FIELDS: Final = {
    "domain": "domain",
    "address": "address",
    "uri": "uri",
    "version": "version",
    "nonce": "nonce",
    "issuedAt": "issued_at",
    "statement": "statement",
    "expirationTime": "expiration_time",
    "notBefore": "not_before",
    "requestId": "request_id",
    "resources": "resources",
}


@dataclass(frozen=True, slots=True)
class WalletProof:
    """A wallet that proved itself. `single_use_key` names a proof that serves once; empty for a bearer session."""

    wallet: str
    account_id: str
    single_use_key: str = ""


@dataclass(frozen=True, slots=True)
class RequestChallenge:
    """What a wallet signs to prove itself for one request; goes into the 402's `sign-in-with-x` extension."""

    domain: str
    uri: str
    nonce: str
    issued_at: datetime
    expires_at: datetime
    statement: str = STATEMENT


def wallet_of_request(request: HttpRequest, *, binding: str = "") -> WalletProof | None:
    """The wallet a request proves, or None when it does not claim any. A valid SIGN-IN-WITH-X proof is used up.

    `binding` is what the challenge was issued for (see `challenge_for`); without it, method, address and raw body.
    Raises an AccountsError (all 401: KeyRefused, SessionRefused, WalletProofRefused) when it claims one it cannot
    prove, so that a client never pays anew because its proof had a flaw. Only a SIGN-IN-WITH-X proof reads the body.
    """
    header, authorization = request.headers.get(PROOF_HEADER, ""), request.headers.get("Authorization", "")
    if header and authorization:
        raise WalletProofRefused("Send a bearer token or a SIGN-IN-WITH-X header, not both.")
    if header:
        return _proof_of_header(header, request, binding=binding)
    if authorization:
        return _proof_of_bearer(authorization)
    return None


def challenge_for(request: HttpRequest, *, binding: str = "") -> RequestChallenge:
    """A challenge for this very request; writes nothing. With a `binding` of the caller's, for what that stands for."""
    nonce = nonces.issue(_purpose(request, binding))
    return RequestChallenge(
        domain=site_expectation().domain,
        uri=_address_of(request),
        nonce=nonce,
        issued_at=nonces.issued_at(nonce),
        expires_at=nonces.expires_at(nonce),
    )


def key_of_authorization(authorization: str) -> str | None:
    """The API key of an Authorization header, or None when it holds something else.

    The name of a scheme has no letter case. Source: RFC 9110 §11.1.
    """
    scheme, _, token = authorization.partition(" ")
    is_key = scheme.lower() == "bearer" and token.strip().startswith(API_KEY_PREFIX)
    return token.strip() if is_key else None


def bearer_token_of(authorization: str) -> str:
    """The token of an Authorization header. Raises SessionRefused for another scheme, KeyRefused for an API key."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise SessionRefused("The Authorization header is not a bearer token.")
    if token.strip().startswith(API_KEY_PREFIX):
        raise KeyRefused("An API key does not stand for a wallet. Sign in for this.")
    return token.strip()


def _proof_of_bearer(authorization: str) -> WalletProof:
    who = signed_in(bearer_token_of(authorization))
    return WalletProof(who.wallet, who.account_id)


def _proof_of_header(header: str, request: HttpRequest, *, binding: str) -> WalletProof:
    document = _decoded(header)
    fields: dict[str, object] = {ours: document.get(theirs) for theirs, ours in _FIELDS.items()}
    network, signature = document.get("chainId"), document.get("signature")
    if not isinstance(network, str) or not isinstance(signature, str) or document.get("type", "eip191") != "eip191":
        raise WalletProofRefused("The proof needs chainId, signature and the type eip191.")
    family, _, chain = network.partition(":")
    if family != "eip155" or not chain.isascii() or not chain.isdigit() or len(chain) > 18:
        raise WalletProofRefused("Only EVM chains (eip155:…) prove wallets here.")
    from accounts.services.sign_in_messages import message_of_fields, require_valid

    purpose = _purpose(request, binding)
    expected = Expectation(domain=site_expectation().domain, uri=_address_of(request), purpose=purpose)
    try:
        message = message_of_fields(fields | {"chain_id": int(chain)})
        require_valid(message, signature, expected)
    except SignInRefused as error:
        raise WalletProofRefused("The proof does not hold for this request. Sign the challenge of its 402.") from error
    if not nonces.consume(message.nonce):
        raise WalletProofRefused("This proof has been used. Sign a new challenge.")
    wallet = message.address.lower()
    return WalletProof(wallet, account_id_of_wallet(wallet), single_use_key=message.nonce)


def _decoded(header: str) -> dict[str, object]:
    """The JSON object in the header. Raises WalletProofRefused."""
    if len(header) > PROOF_BYTES_MAX:
        raise WalletProofRefused(f"The proof is larger than {PROOF_BYTES_MAX} bytes.")
    try:
        document = json.loads(base64.b64decode(header, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise WalletProofRefused("The proof is not JSON in base64.") from error
    if not isinstance(document, dict):
        raise WalletProofRefused("The proof is not a JSON object.")
    return document


def _purpose(request: HttpRequest, binding: str) -> str:
    """What a nonce is issued for, in 64 hex digits: the caller's binding, or the request as it came."""
    if not binding:
        body = hashlib.sha256(request.body).hexdigest()
        binding = "\n".join((request.method or "", _address_of(request), body))
    return "request " + hashlib.sha256(binding.encode()).hexdigest()


def _address_of(request: HttpRequest) -> str:
    return loa("PUBLIC_ORIGIN") + request.get_full_path()
