"""The wallets of an account: listed, and added by a message that the new one signs."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import throttles
from accounts.api.authentication import BearerAuthentication
from accounts.api.serializers import SignInSerializer
from accounts.api.strict_fields import StrictSerializer
from accounts.services import linked_wallets
from accounts.services.errors import AccountsError
from accounts.services.sessions import SignedIn
from telemetry.problem import problem_response

TAGS = ["auth"]
BUCKET = "sign_in"
NO_STORE = {"Cache-Control": "private, no-store"}


class NewWalletSerializer(StrictSerializer):
    """Which wallet is to be added."""

    wallet = serializers.CharField(max_length=42)


class TextSerializer(serializers.Serializer[Any]):
    """What the new wallet signs."""

    message = serializers.CharField(help_text="An EIP-4361 message for this account alone, good for five minutes.")


class WalletSerializer(serializers.Serializer[Any]):
    """One wallet of the account."""

    wallet = serializers.CharField(source="address")
    family = serializers.CharField()
    created_at = serializers.DateTimeField()


class WalletListSerializer(serializers.Serializer[Any]):
    """The account's wallets, oldest first."""

    account_id = serializers.CharField()
    wallets = WalletSerializer(many=True)


class AccountWalletView(APIView):
    """For a signed-in wallet; at most as many tries a minute as sign-ins."""

    authentication_classes = (BearerAuthentication,)
    permission_classes = ()

    def who(self, request: Request) -> SignedIn | HttpResponse:
        """Who asks, or the refusal."""
        if not isinstance(request.user, SignedIn):
            return problem_response("authentication_required")
        if request.method != "GET":
            verdict = throttles.check(BUCKET, f"wallets {request.user.account_id}")
            if not verdict.allowed:
                return problem_response("rate_limited", retry_after_seconds=verdict.retry_after_seconds)
        return request.user


class WalletMessageView(AccountWalletView):
    """`POST /api/v1/auth/wallets/message`."""

    @extend_schema(
        operation_id="wallet_message",
        summary="What another wallet signs to be added to this account",
        request=NewWalletSerializer,
        responses={200: TextSerializer},
        tags=TAGS,
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """Nothing is written."""
        who = self.who(request)
        if isinstance(who, HttpResponse):
            return who
        form = NewWalletSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            text = linked_wallets.message_to_sign(who, form.validated_data["wallet"])
        except AccountsError as error:
            return problem_response("invalid_parameters", detail=error.detail)
        return Response(TextSerializer({"message": text}).data, headers=NO_STORE)


class AccountWalletsView(AccountWalletView):
    """`/api/v1/auth/wallets`."""

    @extend_schema(
        operation_id="list_wallets",
        summary="The wallets of this account",
        responses={200: WalletListSerializer},
        tags=TAGS,
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """Oldest first."""
        who = self.who(request)
        if isinstance(who, HttpResponse):
            return who
        answer = {"account_id": who.account_id, "wallets": linked_wallets.wallets_of(who.account_id)}
        return Response(WalletListSerializer(answer).data, headers=NO_STORE)

    @extend_schema(
        operation_id="add_wallet",
        summary="Add another wallet to this account",
        description="The message of `wallets/message`, signed by the new wallet. A wallet that was ever seen here "
        "has an account of its own and stays there: 409 `wallet_taken`.",
        request=SignInSerializer,
        responses={201: WalletSerializer},
        tags=TAGS,
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """Both may sign in to the account from now on."""
        who = self.who(request)
        if isinstance(who, HttpResponse):
            return who
        form = SignInSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            row = linked_wallets.add_wallet(who, form.validated_data["message"], form.validated_data["signature"])
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail)
        return Response(WalletSerializer(row).data, status=status.HTTP_201_CREATED, headers=NO_STORE)
