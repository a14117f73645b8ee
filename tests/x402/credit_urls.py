"""Paid views and the site's own API side by side, for tests of what becomes of credit; and screens for wallets."""

from django.urls import include, path

from tests.x402 import paid_urls


def serves_nobody(wallet: str, purpose: str) -> bool:
    return False


def broken_screen(wallet: str, purpose: str) -> bool:
    raise ConnectionError("the list cannot be reached")


urlpatterns = [*paid_urls.urlpatterns, path("", include("loa_site.urls"))]
