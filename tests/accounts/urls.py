"""The sign-in endpoints where the site mounts them, without the rest of the site."""

from django.urls import include, path

urlpatterns = [path("api/v1/auth/", include("accounts.api.urls"))]
