"""Every price a model ever had. None is edited: publishing one makes the next version, revoking one withdraws it."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from billing.admin.formats import amount_of, moment_of
from billing.admin.read_only import ReadOnlyAdmin, shown_as, url_of
from billing.admin.sections import Link
from inference.models import ModelPrice
from inference.services.price_versions import revoke_price


@admin.register(ModelPrice)
class ModelPriceAdmin(ReadOnlyAdmin):
    """Units: MicroUSD per million tokens."""

    keyset = ("id",)
    found_by = ("model__name",)
    search_help_text = "Exactly the model's name."
    list_select_related = ("model",)
    list_display = ("named", "input_price", "output_price", "valid", "is_revoked")
    fields = ("sold_model", "version", "input_price", "output_price", "valid", "is_revoked")

    named = shown_as(lambda row: f"{row.model.name}, version {row.version}", "price")
    input_price = shown_as(
        lambda row: amount_of(row.input_micro_usd_per_million, denomination="MicroUSD"), "per million tokens in"
    )
    output_price = shown_as(
        lambda row: amount_of(row.output_micro_usd_per_million, denomination="MicroUSD"), "per million tokens out"
    )
    valid = shown_as(lambda row: moment_of(row.valid_from), "valid from")
    sold_model = shown_as(lambda row: row.model.name, "model")

    def get_urls(self) -> list[URLPattern]:
        revoke = path(
            "<path:object_id>/revoke/", self.admin_site.admin_view(self.revoke_view), name="inference_modelprice_revoke"
        )
        return [revoke, *super().get_urls()]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Revoking is the one change a published price knows."""
        return request.user.has_perm("inference.change_modelprice")

    def links_of(self, row: ModelPrice, request: HttpRequest) -> Sequence[Link]:
        links = [Link("The model", url_of(row.model, row.model_id))]
        if self.has_revoke_permission(request) and not row.is_revoked:
            links.append(Link("Revoke this price", reverse("admin:inference_modelprice_revoke", args=[row.pk])))
        return links

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask once more, then withdraw the price."""
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        price = self.get_object(request, unquote(object_id))
        if price is None:
            raise Http404("No price has that id.")
        if request.method == "POST":
            if revoke_price(price.model, version=price.version):
                self.log_change(request, price, f"Revoked version {price.version}.")
                messages.success(request, f"Version {price.version} of {price.model} is revoked.")
            else:
                messages.warning(request, f"Version {price.version} of {price.model} was revoked before.")
            return HttpResponseRedirect(url_of(price, price.pk))
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"Revoke {price.model}, version {price.version}?",
            "explanation": "Unpaid quotes that name this version are refused from now on. Payments taken keep it.",
            "confirm": "Revoke this price",
            "back_url": url_of(price, price.pk),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/confirm.html", context)
