"""Headers every answer carries, and the list of middleware that sends them, in the order the settings need.

HSTS comes from Django's own SecurityMiddleware, so that `check --deploy` sees it.
"""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from loa_site.security.policy import REPORT_GROUP, REPORT_PATH

# Right after django.middleware.security.SecurityMiddleware.
SECURITY_MIDDLEWARE: Final = (
    "loa_site.security.middleware.SecurityHeadersMiddleware",
    "loa_site.security.middleware.ReportingEndpointsMiddleware",
    "csp.middleware.CSPMiddleware",
)

GetResponse = Callable[[HttpRequest], HttpResponseBase]

PRIVATE_PREFIXES: Final = ("/api/", "/v1/", "/facilitator/", "/admin/", "/metrics", "/health", "/livez", "/readyz")
NO_STORE: Final = "private, no-store"
HEADERS: Final = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class SecurityHeadersMiddleware:
    """Adds what an answer has not set itself; money, identity and staff pages are never stored by any cache."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if request.path.startswith(PRIVATE_PREFIXES):
            forbid_storing(response)
        return response


class ReportingEndpointsMiddleware:
    """Names the endpoint that the policy's `report-to` means."""

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        response.headers["Reporting-Endpoints"] = f'{REPORT_GROUP}="{REPORT_PATH}"'
        return response


def forbid_storing(response: HttpResponseBase) -> HttpResponseBase:
    """Mark an answer as one person's and not to be kept, unless it says more itself."""
    response.headers.setdefault("Cache-Control", NO_STORE)
    return response
