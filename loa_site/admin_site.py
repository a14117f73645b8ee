"""The staff site: Django's admin under our theme, with a first page that answers "do the books balance?" first."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect


class LoaAdminSite(admin.AdminSite):
    """Django's site with our names, our first page and no page that asks a third party for anything."""

    site_title = gettext_lazy("Loa staff")
    site_header = "Loa"
    index_title = gettext_lazy("The books today")
    index_template = "admin/first_page.html"

    def has_permission(self, request: HttpRequest) -> bool:
        """Staff who have shown their second factor, where one is required."""
        from accounts.services import second_factor  # models are not there yet when this class is made

        return super().has_permission(request) and second_factor.is_satisfied(request.user)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Name and password; whoever has given them goes on to the second factor."""
        if request.method == "GET" and super().has_permission(request) and not self.has_permission(request):
            wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
            return HttpResponseRedirect(reverse("admin:second_factor", query={"next": wanted} if wanted else None))
        from accounts.admin.sign_in import StaffAuthenticationForm

        self.login_form = StaffAuthenticationForm
        return super().login(request, extra_context)

    def get_urls(self) -> list[Any]:
        """The pages of the site beside those of the apps' rows."""
        from accounts.admin.security_keys import security_keys_view
        from accounts.admin.sign_in import second_factor_view
        from loa_site import dashboard, operations  # the apps' admin modules register with this class, so it is first

        return [
            path("second-factor/", never_cache(csrf_protect(second_factor_view)), name="second_factor"),
            path("security-keys/", never_cache(csrf_protect(security_keys_view)), name="security_keys"),
            path("dashboard/", self.admin_view(dashboard.dashboard_view), name="dashboard"),
            path("operations/", self.admin_view(operations.operations_view), name="operations"),
            path("circuits/<slug:name>/<slug:act>/", self.admin_view(operations.circuit_view), name="circuit"),
            *super().get_urls(),
        ]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The first page; figures of money only for those who may see journals and payments."""
        from loa_site.first_page import first_page  # the apps' admin modules register with this class, so it is first

        context = dict(extra_context or {})
        if request.user.has_perms(("billing.view_journal", "x402.view_payment")):
            context |= first_page(timezone.now())
        response = super().index(request, context)
        patch_cache_control(response, private=True, no_store=True)
        return response
