"""The models that are sold. Their prices are not fields of this form: a new price is published as a new version."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from billing.admin.formats import amount_of, moment_of
from billing.admin.read_only import ModelAdminBase, url_of
from billing.admin.sections import Column, Section
from inference.models import Model, ModelPrice, ModelRoute
from inference.models.catalogue import MICRO_USD_PER_MILLION_TOKENS_MAX
from inference.selectors.catalogue import forget_snapshot
from inference.services.price_versions import publish_price

PRICES_SHOWN_MAX = 20

if TYPE_CHECKING:
    RouteInlineBase = admin.TabularInline[ModelRoute, Model]
else:
    RouteInlineBase = admin.TabularInline


class PublishPriceForm(forms.Form):
    """Two prices, and the version somebody saw when they decided on them."""

    input_micro_usd_per_million = forms.IntegerField(
        label="Per million tokens in, MicroUSD",
        min_value=0,
        max_value=MICRO_USD_PER_MILLION_TOKENS_MAX,
        help_text="3000000 is 3 USD per million tokens.",
    )
    output_micro_usd_per_million = forms.IntegerField(
        label="Per million tokens out, MicroUSD", min_value=0, max_value=MICRO_USD_PER_MILLION_TOKENS_MAX
    )
    own_key_micro_usd = forms.IntegerField(
        label="A call with the buyer's own key, MicroUSD",
        min_value=1,
        max_value=MICRO_USD_PER_MILLION_TOKENS_MAX,
        required=False,
        help_text="Instead of its tokens. Empty: as before.",
    )
    seen_version = forms.IntegerField(widget=forms.HiddenInput, min_value=0)

    def __init__(self, *arguments: Any, newest_version: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._newest_version = newest_version

    def clean_seen_version(self) -> int:
        """Refuse a price that was decided on before somebody else published one, a double click included."""
        seen = self.cleaned_data["seen_version"]
        if seen != self._newest_version:
            raise forms.ValidationError(f"Version {self._newest_version} was published meanwhile. Look at it first.")
        return int(seen)


class RouteInline(RouteInlineBase):
    """The upstreams that are asked when the model's own cannot answer."""

    model = ModelRoute
    extra = 0
    fields = ("position", "upstream", "upstream_model")
    verbose_name = "further upstream"


@admin.register(Model)
class ModelAdmin(ModelAdminBase):
    """Never deleted: payments and prices name it. Untick `is offered` to withdraw it from sale."""

    change_form_template = "admin/model_form.html"
    inlines = (RouteInline,)
    list_display = ("name", "upstream", "context_tokens", "max_output_tokens", "is_offered")
    list_filter = ("is_offered",)
    search_fields = ("=name",)
    fields = ("name", "upstream", "upstream_model", "capabilities", "context_tokens", "max_output_tokens", "is_offered")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """A model that is sold keeps its name: quotes and payments carry it."""
        return () if obj is None else ("name",)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The model is saved, then its routes; both are sold from now on."""
        super().save_related(request, form, formsets, change)
        forget_snapshot()

    def get_urls(self) -> list[URLPattern]:
        publish = path(
            "<path:object_id>/price/", self.admin_site.admin_view(self.publish_view), name="inference_model_price"
        )
        return [publish, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        model = self._model_of(request, object_id)
        below = {"sections": [prices_of(model)], "may_publish": request.user.has_perm("inference.add_modelprice")}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **below})

    def publish_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A form for the next version; the service publishes it in a transaction of its own."""
        if not request.user.has_perm("inference.add_modelprice"):
            raise PermissionDenied
        model = self._model_of(request, object_id)
        newest = model.prices.order_by("-version").first()
        version = 0 if newest is None else newest.version
        form = PublishPriceForm(
            request.POST or None, newest_version=version, initial={"seen_version": version, **_prices_now(newest)}
        )
        if request.method == "POST" and form.is_valid():
            published = publish_price(
                model,
                input_micro_usd_per_million=form.cleaned_data["input_micro_usd_per_million"],
                output_micro_usd_per_million=form.cleaned_data["output_micro_usd_per_million"],
                own_key_micro_usd=form.cleaned_data["own_key_micro_usd"],
            )
            self.log_change(request, model, f"Published price version {published.version}.")
            messages.success(request, f"Version {published.version} is the price of {model} now.")
            return HttpResponseRedirect(url_of(model, model.pk))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Publish version {version + 1} of the price of {model}",
            "form": form,
            "model": model,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/publish_price.html", context)

    def _model_of(self, request: HttpRequest, object_id: str) -> Model:
        model: Model | None = None if "\x00" in object_id else self.get_object(request, unquote(object_id))
        if model is None:
            raise Http404("No model has that id.")
        return model


def _prices_now(newest: ModelPrice | None) -> dict[str, int]:
    """The form begins with the prices of today."""
    if newest is None:
        return {}
    return {
        "input_micro_usd_per_million": newest.input_micro_usd_per_million,
        "output_micro_usd_per_million": newest.output_micro_usd_per_million,
        "own_key_micro_usd": newest.own_key_micro_usd,
    }


def prices_of(model: Model) -> Section:
    """The newest versions of a model's price."""
    return Section(
        "Prices per million tokens",
        (
            Column("Version", is_figure=True),
            Column("In", is_figure=True),
            Column("Out", is_figure=True),
            Column("Valid from"),
            Column("Revoked"),
        ),
        [
            (
                price.version,
                amount_of(price.input_micro_usd_per_million, denomination="MicroUSD"),
                amount_of(price.output_micro_usd_per_million, denomination="MicroUSD"),
                moment_of(price.valid_from),
                "revoked" if price.is_revoked else "",
            )
            for price in model.prices.order_by("-version")[:PRICES_SHOWN_MAX]
        ],
        when_empty="None yet: the model is not listed until it has one.",
    )
