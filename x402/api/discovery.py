"""What is sold here, over HTTP: the bazaar's list and the well-known document."""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from telemetry.problem import problem_response
from x402.api.facilitator_serializers import DISCOVERY
from x402.services import discovery
from x402.services.discovery import PAGE_SIZE, PAGE_SIZE_MAX

OFFSET_MAX = 1_000_000


class PublicView(APIView):
    """For everyone, without a session."""

    authentication_classes = ()
    permission_classes = ()


class DiscoveryView(PublicView):
    """`GET /facilitator/discovery/resources`."""

    @extend_schema(
        operation_id="facilitator_discovery",
        summary="What is sold here",
        parameters=[
            OpenApiParameter("type", str, description="`http`, the only type there is."),
            OpenApiParameter("limit", int, description=f"1 to {PAGE_SIZE_MAX}; {PAGE_SIZE} if absent."),
            OpenApiParameter("offset", int, description="How many to pass over."),
        ],
        responses={200: DISCOVERY},
        tags=["facilitator"],
    )
    def get(self, request: Request) -> HttpResponse | Response:
        """Resources of this origin with the terms that hold for every request to them."""
        limit, offset = _number(request, "limit", PAGE_SIZE), _number(request, "offset", 0)
        if limit is None or not 1 <= limit <= PAGE_SIZE_MAX:
            return problem_response("invalid_parameters", detail=f"limit is a whole number from 1 to {PAGE_SIZE_MAX}.")
        if offset is None or offset > OFFSET_MAX:
            return problem_response("invalid_parameters", detail="offset is a whole number.")
        if request.query_params.get("type", "http") != "http":
            return Response({"x402Version": 2, "items": [], "pagination": {"limit": limit, "offset": 0, "total": 0}})
        return Response(discovery.page(limit=limit, offset=offset))


class WellKnownView(PublicView):
    """`GET /.well-known/x402`."""

    @extend_schema(
        operation_id="well_known_x402",
        summary="What this origin sells and who settles it",
        responses={200: OpenApiTypes.OBJECT},
        tags=["facilitator"],
    )
    def get(self, request: Request) -> Response:
        """The resources of this origin, its facilitator, and where its money goes."""
        return Response(discovery.well_known())


def _number(request: Request, name: str, default: int) -> int | None:
    text = request.query_params.get(name, str(default))
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
