"""Sign-in endpoints; the site mounts them below /api/v1/auth/."""

from django.urls import path

from accounts.api.views import LogoutView, NonceView, RefreshView, VerifyView

app_name = "accounts"

urlpatterns = [
    path("nonce", NonceView.as_view(), name="nonce"),
    path("verify", VerifyView.as_view(), name="verify"),
    path("refresh", RefreshView.as_view(), name="refresh"),
    path("logout", LogoutView.as_view(), name="logout"),
]
