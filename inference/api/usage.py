"""`GET /api/v1/usage`: what the account's calls consumed and cost, by day and model, and call by call."""

from datetime import date, timedelta
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.api.own_keys import OwnKeyView, account_of
from inference.models import CallUsage
from inference.selectors.usage import UsageSum, calls_of, usage_by_day
from telemetry.problem import problem_response

DAYS = 30
DAYS_MAX = 92
CALLS_SHOWN = 50
LAST_ID = 2**63 - 1


class UsageSumSerializer(serializers.Serializer[Any]):
    """One day's calls of one model. Units: tokens, and MicroUSDC as a decimal string."""

    day = serializers.DateField()
    model = serializers.CharField()
    calls = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    charged_micro_usdc = serializers.CharField()


class CallSerializer(serializers.Serializer[Any]):
    """One call."""

    payment_id = serializers.CharField()
    model = serializers.CharField()
    price_version = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    charged_micro_usdc = serializers.CharField()
    finish_reason = serializers.CharField()
    is_streamed = serializers.BooleanField()
    has_own_key = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class UsageSerializer(serializers.Serializer[Any]):
    """Sums of the days asked for, and a page of calls."""

    first_day = serializers.DateField()
    last_day = serializers.DateField()
    days = UsageSumSerializer(many=True)
    calls = CallSerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class UsageView(OwnKeyView):
    """`GET /api/v1/usage`, by session or by API key."""

    @extend_schema(
        operation_id="usage",
        summary="What the account's calls consumed",
        parameters=[
            OpenApiParameter("first_day", str, description=f"YYYY-MM-DD, UTC; {DAYS} days ago if absent."),
            OpenApiParameter("last_day", str, description=f"YYYY-MM-DD; today if absent. At most {DAYS_MAX} days."),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before, for older calls."),
        ],
        responses={200: UsageSerializer},
        tags=["inference"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """Sums newest first, then calls newest first."""
        account_id = account_of(request)
        if isinstance(account_id, HttpResponse):
            return account_id
        days, before = _days(request), _before(request)
        if days is None:
            detail = f"first_day and last_day are days (YYYY-MM-DD), in order and at most {DAYS_MAX} apart."
            return problem_response("invalid_parameters", detail=detail)
        if before is None:
            return problem_response("invalid_cursor")
        first, last = days
        found = calls_of(account_id, before=before, limit=CALLS_SHOWN + 1)
        shown = found[:CALLS_SHOWN]
        answer = {
            "first_day": first,
            "last_day": last,
            "days": [_sum_facts(one) for one in usage_by_day(account_id, first=first, last=last)],
            "calls": [_call_facts(call) for call in shown],
            "next_cursor": str(shown[-1].pk) if len(found) > CALLS_SHOWN else None,
        }
        return Response(UsageSerializer(answer).data)


def _days(request: Request) -> tuple[date, date] | None:
    """The days asked for; None when they make no sense."""
    today = timezone.now().date()
    try:
        last = _day(request, "last_day") or today
        first = _day(request, "first_day") or last - timedelta(days=DAYS - 1)
    except (ValueError, OverflowError):
        return None
    return (first, last) if timedelta(0) <= last - first < timedelta(days=DAYS_MAX) and last < date.max else None


def _day(request: Request, name: str) -> date | None:
    written = request.query_params.get(name, "")
    if not written:
        return None
    if len(written) != len("2026-01-31") or not written.isascii():
        raise ValueError(name)
    return date.fromisoformat(written)


def _before(request: Request) -> int | None:
    cursor = request.query_params.get("cursor", str(LAST_ID))
    return min(int(cursor), LAST_ID) if cursor.isascii() and cursor.isdigit() and len(cursor) <= 19 else None


def _sum_facts(one: UsageSum) -> dict[str, object]:
    return {
        "day": one.day,
        "model": one.model,
        "calls": one.calls,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "charged_micro_usdc": str(one.charged_micro_usdc),
    }


def _call_facts(call: CallUsage) -> dict[str, object]:
    return {
        "payment_id": call.payment_id,
        "model": call.model,
        "price_version": call.price_version,
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
        "charged_micro_usdc": str(call.charged_micro_usdc),
        "finish_reason": call.finish_reason,
        "is_streamed": call.is_streamed,
        "has_own_key": call.has_own_key,
        "created_at": call.created_at,
    }
