"""Keys that buyers bring along, over HTTP: asked about, kept, listed without their secret, ended."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import throttles
from accounts.api.authentication import ApiKeyAuthentication, BearerAuthentication
from accounts.api.strict_fields import StrictIntegerField, StrictSerializer
from accounts.services.api_keys import KeyHolder
from accounts.services.sessions import SignedIn
from inference.domain.errors import UpstreamError
from inference.models import OwnKey
from inference.services import own_keys
from inference.services.own_keys import DAILY_LIMIT_MAX, SECRET_LENGTH_MAX, NewKey, OwnKeyError
from outbound.aws_kms import KmsUnavailable
from telemetry.problem import problem_response

TAGS = ["byok"]


class QuestionSerializer(StrictSerializer):
    """A key and whose it is said to be."""

    upstream = serializers.CharField(max_length=50, help_text="A provider of this site, such as `openai`.")
    key = serializers.RegexField(r"^[\x21-\x7e]+$", max_length=SECRET_LENGTH_MAX, trim_whitespace=False)


class NewOwnKeySerializer(QuestionSerializer):
    """A key to keep."""

    name = serializers.CharField(max_length=80, default="", allow_blank=True)
    daily_limit = StrictIntegerField(default=1_000, min_value=1, max_value=DAILY_LIMIT_MAX, help_text="Calls a day.")


class ValiditySerializer(serializers.Serializer[Any]):
    """What the provider said."""

    upstream = serializers.CharField()
    valid = serializers.BooleanField()


class OwnKeySerializer(serializers.Serializer[Any]):
    """A key that is kept. Its secret is never shown."""

    id = serializers.CharField(help_text="Name it as `loa_upstream_key` in a chat request.")
    upstream = serializers.CharField()
    name = serializers.CharField()
    hint = serializers.CharField(help_text="The key's last letters.")
    daily_limit = serializers.IntegerField()
    calls_today = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class OwnKeyListSerializer(serializers.Serializer[Any]):
    """The account's keys, newest first."""

    keys = OwnKeySerializer(many=True)


class OwnKeyView(APIView):
    """A view of an account's own keys, by session or by API key. Answers are never cached."""

    authentication_classes = (ApiKeyAuthentication, BearerAuthentication)
    permission_classes = ()

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the answer out of every cache."""
        finished = super().finalize_response(request, response, *args, **kwargs)
        finished["Cache-Control"] = "private, no-store"
        return finished


def account_of(request: Request) -> str | HttpResponse:
    """The account that asks, or the refusal."""
    if isinstance(request.user, (SignedIn, KeyHolder)):
        return request.user.account_id
    return problem_response("authentication_required")


def owner_of(request: Request) -> str | HttpResponse:
    """The account of a signed-in wallet: an API key may use what is kept, not change it."""
    if isinstance(request.user, KeyHolder):
        return problem_response("forbidden", detail="An API key cannot manage keys. Sign in with a wallet.")
    return account_of(request)


def too_often(account_id: str) -> HttpResponse | None:
    """Each question goes to a provider, so there are few a minute."""
    verdict = throttles.check("own_key", account_id)
    if verdict.allowed:
        return None
    return problem_response("rate_limited", retry_after_seconds=verdict.retry_after_seconds)


def refusal_of(error: Exception) -> HttpResponse:
    """The problem for a key that could not be asked about or kept; never with anything the provider said."""
    if isinstance(error, OwnKeyError):
        return problem_response(error.code, detail=error.detail)
    return problem_response("upstream_unavailable", retry_after_seconds=30)


class ValidateView(OwnKeyView):
    """`POST /api/v1/byok/validate`."""

    @extend_schema(
        operation_id="validate_own_key",
        summary="Ask a provider whether it accepts a key",
        description="Nothing is kept. At most ten a minute.",
        request=QuestionSerializer,
        responses={200: ValiditySerializer},
        tags=TAGS,
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """Whether the key is good."""
        account_id = account_of(request)
        if isinstance(account_id, HttpResponse):
            return account_id
        form = QuestionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        limited = too_often(account_id)
        if limited is not None:
            return limited
        name = form.validated_data["upstream"]
        try:
            is_good = own_keys.is_valid(name, form.validated_data["key"])
        except (OwnKeyError, UpstreamError) as error:
            return refusal_of(error)
        return Response(ValiditySerializer({"upstream": name, "valid": is_good}).data)


class OwnKeysView(OwnKeyView):
    """`/api/v1/byok/keys`."""

    @extend_schema(
        operation_id="list_own_keys",
        summary="The account's keys for providers",
        responses={200: OwnKeyListSerializer},
        tags=TAGS,
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """Keys without their secrets."""
        account_id = account_of(request)
        if isinstance(account_id, HttpResponse):
            return account_id
        rows = own_keys.live_keys(account_id)
        return Response(OwnKeyListSerializer({"keys": [_facts(row) for row in rows]}).data)

    @extend_schema(
        operation_id="keep_own_key",
        summary="Keep a key for a provider",
        description="The provider is asked first. The key is sealed and shown nowhere again.",
        request=NewOwnKeySerializer,
        responses={201: OwnKeySerializer},
        tags=TAGS,
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """Keep it, when it is good."""
        account_id = owner_of(request)
        if isinstance(account_id, HttpResponse):
            return account_id
        form = NewOwnKeySerializer(data=request.data)
        form.is_valid(raise_exception=True)
        limited = too_often(account_id)
        if limited is not None:
            return limited
        wish = form.validated_data
        new = NewKey(wish["upstream"], wish["key"], label=wish["name"], daily_limit=wish["daily_limit"])
        try:
            row = own_keys.keep(account_id, new)
        except (OwnKeyError, UpstreamError, KmsUnavailable) as error:
            return refusal_of(error)
        return Response(OwnKeySerializer(_facts(row)).data, status=status.HTTP_201_CREATED)


class OneOwnKeyView(OwnKeyView):
    """`/api/v1/byok/keys/{key_id}`."""

    @extend_schema(operation_id="end_own_key", summary="Forget a key", responses={204: None}, tags=TAGS)
    def delete(self, request: Request, key_id: str) -> HttpResponse | Response:
        """What was sealed is gone at once."""
        account_id = owner_of(request)
        if isinstance(account_id, HttpResponse):
            return account_id
        if "\0" in key_id or not own_keys.end(account_id, key_id):
            return problem_response("not_found")
        return Response(status=status.HTTP_204_NO_CONTENT)


def _facts(row: OwnKey) -> dict[str, object]:
    return {
        "id": row.pk,
        "upstream": row.upstream,
        "name": row.label,
        "hint": row.hint,
        "daily_limit": row.daily_limit,
        "calls_today": own_keys.calls_today(row),
        "created_at": row.created_at,
    }
