"""Headers every answer carries, and the list of middleware that sends them, in the order the settings need.

HSTS comes from Django's own SecurityMiddleware, so that `check --deploy` sees it.
"""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from loa_site.security.policy import (
    DIRECTIVES,
    REPORT_GROUP,
    REPORT_PATH,
    TRUSTED_TYPES_LEFT_OUT,
    WITHOUT_TRUSTED_TYPES,
)

# Right after django.middleware.security.SecurityMiddleware.
SECURITY_MIDDLEWARE: Final = (
    "loa_site.security.middleware.SecurityHeadersMiddleware",
    "loa_site.security.middleware.ReportingEndpointsMiddleware",
    "csp.middleware.CSPMiddleware",
    "loa_site.security.middleware.TrustedTypesMiddleware",
)

POLICY_HEADERS: Final = ("Content-Security-Policy", "Content-Security-Policy-Report-Only")

GetResponse = Callable[[HttpRequest], HttpResponseBase]

PRIVATE_PREFIXES: Final = (
    "/api/",
    "/v1/",
    "/facilitator/",
    "/admin/",
    "/account/",
    "/onboarding/",
    "/metrics",
    "/health",
    "/livez",
    "/readyz",
)
# Wallets of some vendors open a window of their own and answer through it.
WALLET_PREFIXES: Final = ("/account/", "/waitlist/wallet")
OPENS_WALLETS: Final = "same-origin-allow-popups"
NO_STORE: Final = "private, no-store"
FEATURES_SWITCHED_OFF: Final = (
    *("accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen", "geolocation"),
    *("gyroscope", "magnetometer", "microphone", "midi", "payment", "picture-in-picture", "screen-wake-lock"),
    *("serial", "usb", "xr-spatial-tracking"),
)
HEADERS: Final = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in FEATURES_SWITCHED_OFF),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def in_order(policy: str) -> str:
    """The same policy with its directives in the order of `DIRECTIVES`; unknown ones first.

    >>> in_order("report-to csp-endpoint; report-uri /api/v1/csp-report; default-src 'self'")
    "default-src 'self'; report-uri /api/v1/csp-report; report-to csp-endpoint"
    """
    order = {name: place for place, name in enumerate(DIRECTIVES)}
    return "; ".join(sorted(policy.split("; "), key=lambda directive: order.get(directive.partition(" ")[0], -1)))


class SecurityHeadersMiddleware:
    """Adds what an answer has not set itself; money, identity and staff pages are never stored by any cache."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if request.path.startswith(WALLET_PREFIXES) or response.status_code == 402:
            response.headers.setdefault("Cross-Origin-Opener-Policy", OPENS_WALLETS)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if request.path.startswith(PRIVATE_PREFIXES):
            forbid_storing(response)
        return response


class ReportingEndpointsMiddleware:
    """Names the endpoint that the policy's `report-to` means, and writes the directives in one order.

    The policy's library writes them in another order in each process; one order can be compared and cached.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        response.headers["Reporting-Endpoints"] = f'{REPORT_GROUP}="{REPORT_PATH}"'
        for header in POLICY_HEADERS:
            if header in response.headers:
                response.headers[header] = in_order(response.headers[header])
        return response


class TrustedTypesMiddleware:
    """Takes the Trusted Types directives out of the policy of pages whose third-party scripts cannot do without."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if request.path.startswith(WITHOUT_TRUSTED_TYPES):
            for attribute in ("_csp_replace", "_csp_replace_ro"):
                setattr(response, attribute, getattr(response, attribute, {}) | TRUSTED_TYPES_LEFT_OUT)
        return response


def forbid_storing(response: HttpResponseBase) -> HttpResponseBase:
    """Mark an answer as one person's and not to be kept, unless it says more itself."""
    response.headers.setdefault("Cache-Control", NO_STORE)
    return response
