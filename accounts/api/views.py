"""The four endpoints of a sign-in: nonce, verify, refresh, logout."""

from collections.abc import Mapping

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts import throttles
from accounts.api.authentication import BearerAuthentication
from accounts.api.serializers import NonceSerializer, RefreshSerializer, SignInSerializer, TokenPairSerializer
from accounts.services import nonces, sessions
from accounts.services.errors import AccountsError
from accounts.services.sessions import SignedIn, TokenPair
from accounts.services.sign_in_expectations import site_expectation
from telemetry.configuration import loa
from telemetry.problem import problem_response

BUCKET = "sign_in"
NO_STORE: Mapping[str, str] = {"Cache-Control": "private, no-store"}


class PublicView(APIView):
    """A view for callers who cannot prove anything yet, with a limit per client and endpoint."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        self.verdict = throttles.check(BUCKET, f"{type(self).__name__} {throttles.address_of(request._request)}")

    def too_many(self) -> HttpResponse | None:
        """The 429, when this caller has asked too often."""
        if self.verdict.allowed:
            return None
        return problem_response("rate_limited", retry_after_seconds=self.verdict.retry_after_seconds)


class NonceView(PublicView):
    """GET /api/v1/auth/nonce"""

    @extend_schema(operation_id="auth_nonce", responses=NonceSerializer)
    def get(self, request: Request) -> Response | HttpResponse:
        """A nonce and the other parts of the message to sign. Single use, five minutes; asking writes nothing."""
        if refusal := self.too_many():
            return refusal
        nonce, expected = nonces.issue(), site_expectation()
        answer = {
            "nonce": nonce,
            "domain": expected.domain,
            "uri": expected.uri,
            "version": "1",
            "chain_id": int(loa("DEFAULT_NETWORK").partition(":")[2]),
            "issued_at": nonces.issued_at(nonce),
            "expires_at": nonces.expires_at(nonce),
        }
        return Response(NonceSerializer(answer).data, headers=dict(NO_STORE))


class VerifyView(PublicView):
    """POST /api/v1/auth/verify"""

    @extend_schema(operation_id="auth_verify", request=SignInSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response | HttpResponse:
        """Exchange a signed EIP-4361 message for a bearer token and a refresh token."""
        if refusal := self.too_many():
            return refusal
        serializer = SignInSerializer(data=request.data)
        if not serializer.is_valid():
            return invalid(serializer)
        fields = serializer.validated_data
        try:
            return tokens(sessions.sign_in(fields["message"], fields["signature"]))
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail)


class RefreshView(PublicView):
    """POST /api/v1/auth/refresh"""

    @extend_schema(operation_id="auth_refresh", request=RefreshSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response | HttpResponse:
        """Exchange a refresh token for a new pair; the old pair ends. A second use ends the whole sign-in."""
        if refusal := self.too_many():
            return refusal
        serializer = RefreshSerializer(data=request.data)
        if not serializer.is_valid():
            return invalid(serializer)
        try:
            return tokens(sessions.refresh(serializer.validated_data["refresh_token"]))
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail)


class LogoutView(APIView):
    """POST /api/v1/auth/logout"""

    authentication_classes = (BearerAuthentication,)
    permission_classes = ()

    @extend_schema(operation_id="auth_logout", request=None, responses={204: None})
    def post(self, request: Request) -> Response | HttpResponse:
        """End this sign-in with all its refreshed sessions."""
        if not isinstance(request.user, SignedIn):
            return problem_response("authentication_required")
        sessions.revoke_family(request.user.family)
        return Response(status=status.HTTP_204_NO_CONTENT, headers=dict(NO_STORE))


def tokens(pair: TokenPair) -> Response:
    """The answer with a new pair; never cached."""
    answer = {name: getattr(pair, name) for name in pair.__slots__} | {"token_type": "Bearer"}
    return Response(TokenPairSerializer(answer).data, headers=dict(NO_STORE))


def invalid(serializer: Serializer[object]) -> HttpResponse:
    """The 422 for a readable body with wrong values; names the fields, never quotes them."""
    fields = {str(name): [str(error) for error in errors] for name, errors in serializer.errors.items()}
    return problem_response("invalid_parameters", errors=fields)
