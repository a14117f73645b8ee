"""API keys over HTTP: made and ended by a signed-in wallet, read by the wallet or by the key itself."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts import throttles
from accounts.api.authentication import ApiKeyAuthentication, BearerAuthentication
from accounts.api.key_serializers import (
    CreatedKeySerializer,
    KeyBalanceSerializer,
    KeyLimitsSerializer,
    KeyPageSerializer,
    KeySerializer,
    NewKeySerializer,
    RotationSerializer,
    key_facts,
)
from accounts.api.views import NO_STORE, invalid
from accounts.models import ApiKey
from accounts.services import api_keys
from accounts.services.api_keys import SCOPE_READ, KeyHolder, KeyTerms
from accounts.services.errors import AccountsError
from accounts.services.key_balances import key_balance
from accounts.services.sessions import SignedIn
from telemetry.problem import problem_response

PAGE_SIZE = 50
KEY_ID_LENGTH = 30


class KeyView(APIView):
    """A view of the signed-in account's keys. Answers are never cached."""

    authentication_classes = (ApiKeyAuthentication, BearerAuthentication)
    permission_classes = ()

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the answer out of every cache."""
        finished = super().finalize_response(request, response, *args, **kwargs)
        for name, value in NO_STORE.items():
            finished[name] = value
        return finished


def maker_of(request: Request) -> SignedIn | HttpResponse:
    """The signed-in wallet that may make a key now, or the refusal."""
    owner = owner_of(request)
    if isinstance(owner, HttpResponse):
        return owner
    verdict = throttles.check("wallet", owner.wallet)
    return (
        owner if verdict.allowed else problem_response("rate_limited", retry_after_seconds=verdict.retry_after_seconds)
    )


def owner_of(request: Request) -> SignedIn | HttpResponse:
    """The signed-in wallet, or the refusal: a key cannot make, change or end keys."""
    if isinstance(request.user, SignedIn):
        return request.user
    if isinstance(request.user, KeyHolder):
        return problem_response("forbidden", detail="An API key cannot manage keys. Sign in with a wallet.")
    return problem_response("authentication_required")


class KeysView(KeyView):
    """`/api/v1/keys`."""

    @extend_schema(
        operation_id="list_keys",
        summary="The account's API keys, newest first",
        parameters=[OpenApiParameter("cursor", str, description="`next_cursor` of the page before.")],
        responses={200: KeyPageSerializer},
        tags=["keys"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """Keys without their secrets, ended ones included."""
        owner = owner_of(request)
        if isinstance(owner, HttpResponse):
            return owner
        cursor = request.query_params.get("cursor", "")
        if cursor and not (cursor.isascii() and cursor.replace("_", "").isalnum() and len(cursor) <= KEY_ID_LENGTH):
            return problem_response("invalid_cursor")
        rows = ApiKey.objects.filter(account_id=owner.account_id).order_by("-id")
        found = list((rows.filter(pk__lt=cursor) if cursor else rows)[: PAGE_SIZE + 1])
        shown = found[:PAGE_SIZE]
        answer = {
            "keys": [key_facts(row) for row in shown],
            "next_cursor": shown[-1].pk if len(found) > PAGE_SIZE else None,
        }
        return Response(KeyPageSerializer(answer).data)

    @extend_schema(
        operation_id="create_key",
        summary="Create an API key",
        description="The secret is in this answer and nowhere else.",
        request=NewKeySerializer,
        responses={201: CreatedKeySerializer},
        tags=["keys"],
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """A new key of the signed-in account."""
        owner = maker_of(request)
        if isinstance(owner, HttpResponse):
            return owner
        asked = values_of(NewKeySerializer(data=request.data))
        if isinstance(asked, HttpResponse):
            return asked
        terms = KeyTerms(**{**asked, "scopes": tuple(sorted(set(asked["scopes"])))})
        try:
            row, secret = api_keys.create(owner.account_id, created_by=owner.wallet, terms=terms)
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail)
        return created(row, secret)


class OneKeyView(KeyView):
    """`/api/v1/keys/{key_id}`."""

    @extend_schema(
        operation_id="get_key", summary="One API key, without its secret", responses={200: KeySerializer}, tags=["keys"]
    )
    def get(self, request: Request, key_id: str) -> HttpResponse | Response:
        """The key's terms and state."""
        owner = owner_of(request)
        if isinstance(owner, HttpResponse):
            return owner
        try:
            return Response(KeySerializer(key_facts(api_keys.own_key(owner.account_id, key_id))).data)
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail)

    @extend_schema(
        operation_id="revoke_key",
        summary="Revoke an API key",
        description="The next request with it is refused. Revoking it again changes nothing.",
        request=None,
        responses={204: None},
        tags=["keys"],
    )
    def delete(self, request: Request, key_id: str) -> HttpResponse | Response:
        """End the key at once."""
        owner = owner_of(request)
        if isinstance(owner, HttpResponse):
            return owner
        try:
            api_keys.revoke(owner.account_id, key_id, revoked_by=owner.wallet)
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RotateKeyView(KeyView):
    """`/api/v1/keys/{key_id}/rotate`."""

    @extend_schema(
        operation_id="rotate_key",
        summary="Replace an API key",
        description="The new key has the same terms and daily cap; the old one works until the grace ends.",
        request=RotationSerializer,
        responses={201: CreatedKeySerializer},
        tags=["keys"],
    )
    def post(self, request: Request, key_id: str) -> HttpResponse | Response:
        """A replacement for the key."""
        owner = maker_of(request)
        if isinstance(owner, HttpResponse):
            return owner
        asked = values_of(RotationSerializer(data=request.data or {}))
        if isinstance(asked, HttpResponse):
            return asked
        try:
            row, secret = api_keys.rotate(
                owner.account_id, key_id, created_by=owner.wallet, grace_seconds=asked["grace_seconds"]
            )
        except AccountsError as error:
            code = "wrong_state" if error.code == "invalid_api_key" else error.code
            return problem_response(code, detail=error.detail)
        return created(row, secret)


class KeyLimitsView(KeyView):
    """`/api/v1/keys/{key_id}/limits`."""

    @extend_schema(
        operation_id="set_key_limits",
        summary="Change an API key's limits",
        description="In force with the key's next request. What is left out or null is no limit of the key's own.",
        request=KeyLimitsSerializer,
        responses={200: KeySerializer},
        tags=["keys"],
    )
    def post(self, request: Request, key_id: str) -> HttpResponse | Response:
        """New limits for the key."""
        owner = owner_of(request)
        if isinstance(owner, HttpResponse):
            return owner
        asked = values_of(KeyLimitsSerializer(data=request.data))
        if isinstance(asked, HttpResponse):
            return asked
        try:
            row = api_keys.change_limits(owner.account_id, key_id, changed_by=owner.wallet, **asked)
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail)
        return Response(KeySerializer(key_facts(row)).data)


class KeyBalanceView(KeyView):
    """`/api/v1/keys/{key_id}/balance`."""

    @extend_schema(
        operation_id="key_balance",
        summary="What an API key can spend now",
        description="For the signed-in account, and for the key itself with the scope `read`.",
        responses={200: KeyBalanceSerializer},
        tags=["keys"],
    )
    def get(self, request: Request, key_id: str) -> HttpResponse | Response:
        """Balance, holds, today's use and what is left of the cap."""
        caller = request.user
        if isinstance(caller, KeyHolder) and caller.key_id == key_id:
            if SCOPE_READ not in caller.scopes:
                return problem_response("insufficient_scope", detail="This needs a key with the scope read.")
            account_id = caller.account_id
        elif isinstance(owner := owner_of(request), HttpResponse):
            return owner
        else:
            account_id = owner.account_id
        try:
            row = api_keys.own_key(account_id, key_id)
        except AccountsError as error:
            return problem_response(error.code, detail=error.detail)
        return Response(KeyBalanceSerializer(key_balance(row)).data)


def values_of(serializer: Serializer[Any]) -> dict[str, Any] | HttpResponse:
    """What was asked for, or the 422 that names the fields."""
    return dict(serializer.validated_data) if serializer.is_valid() else invalid(serializer)


def created(row: ApiKey, secret: str) -> Response:
    """The 201 with the secret."""
    return Response(CreatedKeySerializer(key_facts(row) | {"key": secret}).data, status=status.HTTP_201_CREATED)
