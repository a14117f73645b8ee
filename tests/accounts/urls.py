"""The endpoints of accounts where the site mounts them, without the rest of the site."""

from django.urls import include, path

urlpatterns = [
    path("api/v1/auth/", include("accounts.api.urls")),
    path("api/v1/", include("accounts.api.key_urls")),
]
