"""Probes and reports at the root of a site, beside one page of HTML."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from loa_site.health.urls import urlpatterns as health
from loa_site.security.urls import urlpatterns as security


def page(_request: HttpRequest) -> HttpResponse:
    """A page like any other."""
    return HttpResponse("<!doctype html><title>Page</title><p>Hello")


urlpatterns = [*health, *security, path("page", page), path("api/v1/thing", page)]
