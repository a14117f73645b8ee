"""Bearer sessions for API views."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.services.errors import AccountsError
from accounts.services.sessions import SignedIn, signed_in
from accounts.services.wallet_proofs import bearer_token_of


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
