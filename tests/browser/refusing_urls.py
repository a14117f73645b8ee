"""The site, and an address that refuses with any status: what middleware and services answer without a page."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from loa_site.error_pages import USUAL_CODES
from loa_site.urls import handler400, handler403, handler404, handler500
from loa_site.urls import urlpatterns as site
from telemetry.problem import problem_response

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


def refuse(_request: HttpRequest, status: int) -> HttpResponse:
    """A refusal as the API gives it."""
    return problem_response(USUAL_CODES[status], status, retry_after_seconds=5)


def fail(_request: HttpRequest) -> HttpResponse:
    """What nobody foresaw."""
    raise RuntimeError("the page broke")


urlpatterns = [*site, path("refuse/500", fail), path("refuse/<int:status>", refuse)]
