"""The storm's shop and the site on one server."""

from django.urls import include, path

from loa_site.urls import handler400, handler403, handler404, handler500

urlpatterns = [path("", include("tests.storm.shop")), path("", include("loa_site.urls"))]

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
