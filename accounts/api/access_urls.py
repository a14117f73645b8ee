"""What staff switch and whom they let in; mounted below /api/v1/admin/."""

from django.urls import path

from accounts.api.access import AllowlistView, FeatureFlagsView

urlpatterns = [
    path("feature-flags", FeatureFlagsView.as_view(), name="admin-feature-flags"),
    path("allowlist", AllowlistView.as_view(), name="admin-allowlist"),
]
