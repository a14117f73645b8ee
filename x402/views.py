"""Paid views for Django REST framework.

    class Forecast(PaidView):
        price = "$0.01"

        def get(self, request):
            return Response({"tomorrow": "sunny", "paid_by": request.x402.payer})

The order is the one a payer can rely on: who are you (401), then, for a payment that is already known, its answer;
only then may you (403, 429), is your body acceptable (422), what does it cost (402); and the work when it is paid. So
nobody pays to hear that they may not, and nobody who paid is refused later (R19). Exceptions become problem documents.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from accounts.api.problems import exception_handler, first_message
from x402.gate import CONTEXT_ATTRIBUTE, View, charge
from x402.pricing import PricedRequest, Quotation
from x402.protocol.errors import UnpriceableRequest
from x402.services.endpoints import Endpoint, Price, price_of, schemes_of, settle_order_of
from x402.services.quotes import ENDPOINT_ATTRIBUTE

TOLD = (exceptions.APIException, Http404, PermissionDenied)  # what a view says by raising; anything else is a fault


@dataclasses.dataclass(frozen=True, slots=True)
class GuardedPrice:
    """A price that is named only to those who may buy: `require` raises for everybody else."""

    price: Price
    require: Callable[[PricedRequest], None]

    def maximum(self, request: PricedRequest) -> Quotation:
        self.require(request)
        return self.price.maximum(request)

    def maximum_at(self, request: PricedRequest, price_version: int) -> Quotation | None:
        return self.price.maximum_at(request, price_version)

    def maximum_within(self, request: PricedRequest, seconds: int) -> list[Quotation]:
        earlier = getattr(self.price, "maximum_within", None)
        return list(earlier(request, seconds)) if earlier else []

    @property
    def source(self) -> object:
        return self.price


class PaidMixin(APIView):
    """Charges for the methods of a REST framework view. `unpaid_methods` are served to everybody who may."""

    x402_endpoint: ClassVar[Endpoint]
    unpaid_methods: ClassVar[tuple[str, ...]] = ("options",)
    request_serializer_class: ClassVar[type[BaseSerializer[Any]] | None] = None
    validated_body: Any = None

    @classmethod
    def as_view(cls, *args: Any, **initkwargs: Any) -> Any:
        """The view function, outside the project's transactions and without a CSRF token: a payment proves itself."""
        view = super().as_view(*args, **initkwargs)
        setattr(view, ENDPOINT_ATTRIBUTE, cls.x402_endpoint)
        return csrf_exempt(transaction.non_atomic_requests(view))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """REST framework's dispatch, with the payment between who you are and what you may."""
        method = (request.method or "").lower()
        handler = getattr(self, method, None) if method in self.http_method_names else None
        if handler is None or method in self.unpaid_methods:
            return super().dispatch(request, *args, **kwargs)
        self.args, self.kwargs = args, kwargs
        self.request = rest_request = self.initialize_request(request, *args, **kwargs)
        self.headers = self.default_response_headers
        response: HttpResponseBase
        try:
            self._identify(rest_request)
            endpoint = dataclasses.replace(
                self.x402_endpoint, price=GuardedPrice(self.x402_endpoint.price, self._require_allowed)
            )
            work = functools.partial(self._answer, rest_request, functools.partial(handler, rest_request))
            response = charge(endpoint, request, work)
        except TOLD as error:
            response = self.handle_exception(error)
        return self._finished(response)

    def get_exception_handler(self) -> Any:
        """Problem documents, whatever the project's default is."""
        return exception_handler

    def _identify(self, request: Request) -> None:
        self.format_kwarg = self.get_format_suffix(**self.kwargs)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        request.version, request.versioning_scheme = self.determine_version(request, *self.args, **self.kwargs)
        self.perform_authentication(request)

    def _require_allowed(self, priced: PricedRequest) -> None:
        """Permissions, throttles and the body, asked only of a payment that is new. Raises UnpriceableRequest."""
        self.check_permissions(self.request)
        self.check_throttles(self.request)
        try:
            self._validate(priced.json)
        except exceptions.ValidationError as error:
            raise UnpriceableRequest("invalid_parameters", first_message(error.detail)) from None

    def _validate(self, document: Any) -> None:
        if self.request_serializer_class is None or self.validated_body is not None:
            return
        serializer = self.request_serializer_class(data=document, context={"request": self.request, "view": self})
        serializer.is_valid(raise_exception=True)
        self.validated_body = serializer.validated_data

    def _answer(self, request: Request, handler: Callable[..., HttpResponseBase]) -> HttpResponseBase:
        """The work: an answer, or the problem its exception means, which gives the payer the money back."""
        priced: PricedRequest = getattr(request, CONTEXT_ATTRIBUTE).priced
        if priced.json is not None:
            vars(request)["_full_data"] = priced.json  # the value that was priced, not a second reading of it (R21)
        try:
            self._validate(priced.json)
            response = handler(*self.args, **self.kwargs)
        except TOLD as error:
            response = self.handle_exception(error)
        return self._finished(response)

    def _finished(self, response: HttpResponseBase) -> HttpResponseBase:
        finalize: Callable[..., HttpResponseBase] = self.finalize_response
        finished = finalize(self.request, response, *self.args, **self.kwargs)
        if isinstance(finished, Response) and not finished.is_rendered:
            finished.render()
        return finished


class PaidView(PaidMixin):
    """A REST framework view that costs money. `price` and its words are attributes; each method is charged for.

    With `request_serializer_class` the body is checked before a price is named, and is then `self.validated_body`.
    """

    price: ClassVar[object] = None
    description: ClassVar[str] = ""
    mime_type: ClassVar[str] = "application/json"
    scheme: ClassVar[str | Sequence[str]] = "exact"
    settle: ClassVar[str | None] = None
    on_crash: ClassVar[str] = "credit"
    atomic: ClassVar[bool] = True

    @classmethod
    def as_view(cls, *args: Any, **initkwargs: Any) -> Any:
        """The view function. Raises ValueError for a price that is none."""
        cls.x402_endpoint = Endpoint(
            price=price_of(cls.price),
            description=cls.description,
            mime_type=cls.mime_type,
            on_crash=cls.on_crash,
            atomic=cls.atomic,
            schemes=schemes_of(cls.scheme),
            settle=settle_order_of(schemes_of(cls.scheme), cls.settle),
        )
        return super().as_view(*args, **initkwargs)


def is_rest_view(view: View) -> bool:
    """Whether this is a view class of REST framework, or a function that it made from one."""
    return _class_of(view) is not None


def paid_rest_view(endpoint: Endpoint, view: View) -> View:
    """The same view with a price on it: a class stays a class, a function under `@api_view` a function."""
    original = _class_of(view) or APIView
    paid: Any = type(original.__name__, (PaidMixin, original), {"x402_endpoint": endpoint, "__doc__": original.__doc__})
    paid.__module__ = original.__module__
    made: View = paid if isinstance(view, type) else paid.as_view(**getattr(view, "initkwargs", {}))
    if isinstance(view, type):
        return made
    return functools.update_wrapper(made, view, updated=())


def plain_request(request: HttpRequest | Request) -> HttpRequest:
    """Django's request, also from inside REST framework."""
    return request._request if isinstance(request, Request) else request


def _class_of(view: View) -> type[APIView] | None:
    candidate = view if isinstance(view, type) else getattr(view, "cls", None)
    return candidate if isinstance(candidate, type) and issubclass(candidate, APIView) else None
