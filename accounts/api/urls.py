"""Sign-in endpoints; the site mounts them below /api/v1/auth/."""

from django.urls import path

from accounts.api.views import LogoutView, NonceView, RefreshView, VerifyView
from accounts.api.wallets import AccountWalletsView, WalletMessageView

app_name = "accounts"

urlpatterns = [
    path("nonce", NonceView.as_view(), name="nonce"),
    path("verify", VerifyView.as_view(), name="verify"),
    path("refresh", RefreshView.as_view(), name="refresh"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("wallets", AccountWalletsView.as_view(), name="wallets"),
    path("wallets/message", WalletMessageView.as_view(), name="wallet-message"),
]
