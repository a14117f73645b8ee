"""Charging by path, for views one cannot or does not want to touch: `LOA["PAID_PATHS"]`.

    LOA = {"PAID_PATHS": {"reports/<slug:name>": {"price": "$0.05", "description": "A report"}}}

Routes are written as in a URLconf and matched by Django's own resolver against the very path it resolves, so that no
spelling of an address gets around the price. The first route that matches decides. Place it above the CSRF middleware:
a payment proves itself by its header, which no foreign page can send.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404
from django.urls.resolvers import RoutePattern

from telemetry.configuration import loa
from x402.gate import charge, charge_async
from x402.services.endpoints import Endpoint, price_of, schemes_of, settle_order_of
from x402.services.quotes import ENDPOINT_ATTRIBUTE

OPTIONS: Final = frozenset({"price", "description", "mime_type", "scheme", "settle", "on_crash", "atomic", "methods"})
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class PaidPath:
    """One route with its price, and the methods that cost it."""

    pattern: RoutePattern
    endpoint: Endpoint
    methods: frozenset[str]


def paid_path(route: str, options: Mapping[str, Any]) -> PaidPath:
    """What one entry of `PAID_PATHS` means. Raises ValueError for an option, a price or a route that is none."""
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no option of a paid path")
    if route.startswith("/"):
        raise ValueError("a route begins without a slash, as in a URLconf")
    on_crash = options.get("on_crash", "credit")
    if on_crash not in ("credit", "rerun"):
        raise ValueError(f"on_crash must be 'credit' or 'rerun', not {on_crash!r}")
    schemes = schemes_of(options.get("scheme", "exact"))
    pattern = RoutePattern(route, is_endpoint=True)
    pattern.match("")  # compiles it, so that a wrong converter is told by the check and not by the first request
    return PaidPath(
        pattern=pattern,
        endpoint=Endpoint(
            price=price_of(options.get("price")),
            description=str(options.get("description", "")),
            mime_type=str(options.get("mime_type", "application/json")),
            on_crash=on_crash,
            atomic=bool(options.get("atomic", True)),
            schemes=schemes,
            settle=settle_order_of(schemes, options.get("settle")),
        ),
        methods=frozenset(str(method).upper() for method in options.get("methods", METHODS)),
    )


class PaywallMiddleware:
    """Charges for the routes of `LOA["PAID_PATHS"]`. Works under WSGI and ASGI."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._paths = [paid_path(route, options) for route, options in loa("PAID_PATHS").items()]
        self.process_view: Callable[..., Any] = self._charge_for
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
            self.process_view = self._charge_for_async

    def __call__(self, request: HttpRequest) -> Any:
        """Nothing before the view is known: a path is charged for once Django has resolved it."""
        return self._get_response(request)

    def _charge_for(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        path = self._path_of(request, view)
        if path is None:
            return None
        call = async_to_sync(view) if iscoroutinefunction(view) else view
        return charge(path.endpoint, request, functools.partial(call, request, *args, **kwargs))

    async def _charge_for_async(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        path = self._path_of(request, view)
        if path is None:
            return None
        call: Callable[..., Awaitable[HttpResponseBase]] = (
            view if iscoroutinefunction(view) else sync_to_async(view, thread_sensitive=False)
        )
        return await charge_async(path.endpoint, request, functools.partial(call, request, *args, **kwargs))

    def _path_of(self, request: HttpRequest, view: Callable[..., Any]) -> PaidPath | None:
        """The price on this request's path; a view that has one of its own keeps it."""
        if hasattr(view, ENDPOINT_ATTRIBUTE):
            return None
        address = request.path_info.removeprefix("/")
        for path in self._paths:
            if request.method in path.methods and _matches(path.pattern, address):
                return path
        return None


def _matches(pattern: RoutePattern, address: str) -> bool:
    try:
        return pattern.match(address) is not None
    except Resolver404:
        return False
