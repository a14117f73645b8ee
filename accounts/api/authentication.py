"""Who calls an API view: a bearer session of a wallet, or an API key of an account."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from accounts.services import api_keys
from accounts.services.api_keys import KeyHolder
from accounts.services.errors import AccountsError
from accounts.services.sessions import SignedIn, signed_in
from accounts.services.wallet_proofs import bearer_token_of, key_of_authorization


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer st_…`; `request.user` is then a SignedIn. No header: nobody. A bad one: 401."""

    def authenticate(self, request: Request) -> tuple[SignedIn, str] | None:
        authorization = request.headers.get("Authorization", "")
        if not authorization:
            return None
        try:
            who = signed_in(bearer_token_of(authorization))
        except AccountsError as error:
            raise AuthenticationFailed(error.detail, code=error.code) from error
        return who, who.session_id

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="loa"'


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer dk_…`; `request.user` is then a KeyHolder. Another token or none: nobody. A bad key: 401.

    Each request counts against the key's limit a minute; one too many is 429. Name it before BearerAuthentication.
    """

    def authenticate(self, request: Request) -> tuple[KeyHolder, str] | None:
        token = key_of_authorization(request.headers.get("Authorization", ""))
        if token is None:
            return None
        try:
            holder = api_keys.authenticate(token)
        except AccountsError as error:
            raise AuthenticationFailed(error.detail, code=error.code) from error
        verdict = api_keys.check_rate(holder)
        if not verdict.allowed:
            raise Throttled(wait=verdict.retry_after_seconds)
        return holder, holder.key_id

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="loa"'
