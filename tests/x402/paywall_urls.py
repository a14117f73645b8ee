"""Views that are paid for in every way a developer may declare it, for the tests of the paywall."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import include, path
from rest_framework import serializers, viewsets
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import api_view
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from x402.paywall import PaidView, requires_payment
from x402.pricing import PricedRequest
from x402.protocol.errors import UnpriceableRequest

runs: Counter[str] = Counter()


@requires_payment(price="$0.01")
def plain(request: HttpRequest) -> HttpResponse:
    runs["plain"] += 1
    request.x402.charge(4_000)
    return JsonResponse({"payer": request.x402.payer, "body": request.x402.json})


@requires_payment(price="$0.01")
async def asynchronous(request: HttpRequest) -> HttpResponse:
    runs["asynchronous"] += 1
    await asyncio.sleep(0)
    request.x402.charge(4_000)
    return JsonResponse({"payer": request.x402.payer, "body": request.x402.json})


@requires_payment(price="$0.01")
def plain_failing(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the work broke")


@requires_payment(price="$0.01")
async def asynchronous_failing(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the work broke")


@requires_payment(price="$0.01")
async def asynchronous_stream(request: HttpRequest) -> HttpResponseBase:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(0)
            request.x402.charge(1_000 * (number + 1))
            yield f"{number} ".encode()

    return StreamingHttpResponse(parts(), content_type="text/plain")


def by_length(request: PricedRequest) -> str | int:
    words = dict(request.query).get("words", "1")
    if not words.isdigit():
        raise UnpriceableRequest("invalid_parameters", "words is a number")
    return 1_000 * int(words)


@requires_payment(price=by_length)
def computed(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"computed")


class PerByte:
    """Ten MicroUSDC a byte, at most ten cents."""

    def maximum(self, request: PricedRequest) -> str:
        return "$0.10"

    def actual(self, request: HttpRequest, response: HttpResponseBase) -> int:
        return 10 * int(response["Content-Length-Made"])


@requires_payment(price=PerByte())
def metered(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"x" * 500, headers={"Content-Length-Made": "500"})


@requires_payment(price=PerByte())
def metered_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([b"x" * 300, b"y" * 400]), headers={"Content-Length-Made": "700"})


class Named(BaseAuthentication):
    """A caller who names itself in a header; `nobody` is refused."""

    def authenticate(self, request: Request) -> tuple[str, None] | None:
        name = request.headers.get("Shop-Name", "")
        if name == "nobody":
            raise AuthenticationFailed("nobody is not a customer")
        return (name, None) if name else None

    def authenticate_header(self, request: Request) -> str:
        return "Shop"


class NotBanned(BasePermission):
    """Everybody may buy but those on the list."""

    banned: set[str] = set()

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user not in self.banned


class Order(serializers.Serializer[Any]):
    size = serializers.IntegerField(min_value=1, max_value=9)


class Orders(PaidView):
    price = "$0.01"
    description = "An order"
    authentication_classes = (Named,)
    permission_classes = (NotBanned,)
    request_serializer_class = Order

    def post(self, request: Request) -> Response:
        runs["orders"] += 1
        if self.validated_body["size"] == 9:
            raise NotFound("size nine is sold out")
        return Response({"size": self.validated_body["size"], "same": request.data is request.x402.json})

    def options(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response({"methods": self.allowed_methods})


class Items(PaidView, viewsets.ViewSet):
    price = 2_000
    authentication_classes = ()

    def list(self, request: Request) -> Response:
        return Response({"action": self.action, "payer": request.x402.payer})

    def create(self, request: Request) -> Response:
        return Response({"created": request.data}, status=201)


@requires_payment(price="$0.01")
@api_view(["GET", "POST"])
def rest_function(request: Request) -> Response:
    runs["rest_function"] += 1
    return Response({"data": request.data or None, "paid_by": request.x402.payer})


@api_view(["GET"])
@requires_payment(price="$0.01")
def rest_function_inside_out(request: Request) -> HttpResponseBase:
    return JsonResponse({"paid_by": request.x402.payer})


@requires_payment(price=3_000)
class DecoratedClass(APIView):
    authentication_classes = ()

    def get(self, request: Request) -> Response:
        return Response({"paid_by": request.x402.payer})


def unpriced(request: HttpRequest, name: str = "") -> HttpResponse:
    runs["unpriced"] += 1
    paid = getattr(request, "x402", None)
    return JsonResponse({"name": name, "paid": paid.maximum_micro_usdc if paid else None})


async def unpriced_asynchronous(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"paid": request.x402.maximum_micro_usdc})


@requires_payment(price="$0.01")
def picture(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"GIF89a", content_type="image/gif")


@requires_payment(price="$0.01", description="A letter to read", mime_type="text/html")
def letter(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<!DOCTYPE html><title>A letter</title><h1>Dear reader</h1>")


urlpatterns = [
    path("", include("x402.urls")),
    path("plain", plain),
    path("asynchronous", asynchronous),
    path("plain-failing", plain_failing),
    path("asynchronous-failing", asynchronous_failing),
    path("asynchronous-stream", asynchronous_stream),
    path("computed", computed),
    path("metered", metered),
    path("metered-stream", metered_stream),
    path("orders", Orders.as_view()),
    path("items", Items.as_view({"get": "list", "post": "create"})),
    path("rest-function", rest_function),
    path("rest-inside-out", rest_function_inside_out),
    path("decorated", DecoratedClass.as_view()),
    path("reports/<slug:name>", unpriced),
    path("reports/<slug:name>/summary", unpriced),
    path("later", unpriced_asynchronous),
    path("picture", picture),
    path("letter", letter),
]
