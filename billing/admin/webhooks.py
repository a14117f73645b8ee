"""Events, who is told of them, and what became of each telling. Endpoints are the one thing here that staff edit."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html

from billing.admin.acts import Act, ActingAdmin
from billing.admin.formats import NOTHING, identifier_of, moment_of, state_of
from billing.admin.read_only import ModelAdminBase, by_field, choice_filter, list_url, shown_as, url_of
from billing.admin.sections import Column, Link, Section
from billing.domain.errors import Refused
from billing.domain.webhook_events import EventType
from billing.models import DeliveryState, OutboxEvent, WebhookDelivery, WebhookEndpoint
from billing.services import webhooks
from billing.services.staff_acts import Ask
from outbound.webhooks import EndpointRefused, require_url
from telemetry.identifiers import new_id

SHOWN_MAX = 20
TYPES = [event_type.value for event_type in EventType]


if TYPE_CHECKING:
    EndpointFormBase = forms.ModelForm[WebhookEndpoint]
else:
    EndpointFormBase = forms.ModelForm


class EndpointForm(EndpointFormBase):
    """An address and the kinds of event it wants."""

    event_types = forms.MultipleChoiceField(
        choices=[(name, name) for name in TYPES], widget=forms.CheckboxSelectMultiple
    )
    url = forms.CharField(
        label="Address",
        max_length=500,
        widget=forms.URLInput(attrs={"size": 60}),
        help_text="Begins with https://. Its host is judged again at each delivery.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("url", "description", "event_types", "is_active")

    def clean_url(self) -> str:
        """Refuse what would never be called."""
        try:
            require_url(self.cleaned_data["url"])
        except EndpointRefused as refusal:
            raise forms.ValidationError(str(refusal)) from refusal
        return str(self.cleaned_data["url"])


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ModelAdminBase):
    """Never deleted: what was sent to it stays readable. Untick `is active` to stop it."""

    form = EndpointForm
    change_form_template = "admin/endpoint_form.html"
    list_display = ("url", "description", "kinds", "is_active", "created_by", "created")
    list_filter = ("is_active",)
    search_fields = ("=id", "=url")
    show_full_result_count = False

    created = shown_as(lambda row: moment_of(row.created_at), "since")
    kinds = shown_as(lambda row: ", ".join(row.event_types), "told of")

    def has_delete_permission(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        if not change:
            obj.id, obj.created_by = new_id("whe"), request.user.get_username()
        if obj.is_active:
            obj.disabled_reason = ""
        super().save_model(request, obj, form, change)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        endpoint = options.get("obj")
        if endpoint is not None:
            context |= {"sections": [self._newest(endpoint)], "links": self._links(endpoint, request)}
            context["secret"] = self._secret(endpoint) if request.user.has_perm("billing.see_webhook_secret") else ""
        return super().render_change_form(request, context, *arguments, **options)

    def _links(self, endpoint: WebhookEndpoint, request: HttpRequest) -> list[Link]:
        return [Link("Its deliveries", list_url("billing.webhookdelivery", q=endpoint.pk))]

    def _secret(self, endpoint: WebhookEndpoint) -> str:
        try:
            return webhooks.secret_of(endpoint)
        except Refused:
            return NOTHING

    def _newest(self, endpoint: WebhookEndpoint) -> Section:
        newest = endpoint.deliveries.select_related("event").order_by("-id")[:SHOWN_MAX]
        return deliveries_section(newest)


def replay(row: WebhookDelivery, _ask: Ask) -> str:
    webhooks.replay(row.pk)
    return "It is sent again now, with the same id."


def send_again(row: OutboxEvent, _ask: Ask) -> str:
    """Tell every endpoint again that was told before."""
    ended = WebhookDelivery.objects.filter(event=row).exclude(state=DeliveryState.PENDING)
    sent = [webhooks.replay(delivery.pk) for delivery in ended]
    return f"{len(sent)} deliveries are sent again now."


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ActingAdmin):
    acts = (
        Act(
            "replay",
            "Send again",
            "The same message with the same id is sent again, from the first try on.",
            "billing.replay_delivery",
            replay,
            lambda row: row.state != DeliveryState.PENDING,
        ),
    )
    keyset = ("id",)
    found_by = ("event_id", "endpoint_id")
    search_help_text = "Exactly the event id or the endpoint id."
    list_select_related = ("event", "endpoint")
    list_display = ("number", "state_label", "kind", "where", "tries", "answer", "next_try")
    list_display_links = ("number",)
    list_filter = (choice_filter("state", "state", DeliveryState.values, narrows=by_field("state")),)
    fields = ("state_label", "event_label", "kind", "where", "tries", "answer", "next_try", "delivered", "created")

    number = shown_as(lambda row: row.pk, "number")
    state_label = shown_as(lambda row: state_of(row.state), "state")
    kind = shown_as(lambda row: row.event.type, "event")
    event_label = shown_as(
        lambda row: identifier_of(row.event_id, url=url_of("billing.outboxevent", row.event_id)), "message id"
    )
    where = shown_as(
        lambda row: identifier_of(row.endpoint.url, url=url_of("billing.webhookendpoint", row.endpoint_id)), "endpoint"
    )
    answer = shown_as(lambda row: row.last_error or (str(row.last_status or "") or NOTHING), "last answer")
    next_try = shown_as(lambda row: moment_of(row.next_try_at) if row.state == "pending" else NOTHING, "next try")
    delivered = shown_as(lambda row: moment_of(row.delivered_at), "delivered")
    created = shown_as(lambda row: moment_of(row.created_at), "addressed")


@admin.register(OutboxEvent)
class OutboxEventAdmin(ActingAdmin):
    acts = (
        Act(
            "send-again",
            "Send again to all",
            "Every endpoint that was told of it is told again, with the same id.",
            "billing.replay_delivery",
            send_again,
        ),
    )
    keyset = ("id",)
    found_by = ("key", "correlation_id")
    found_by_prefix = ("id",)
    search_help_text = "Event id or its beginning, its key, or the correlation id."
    list_display = ("identifier", "type", "key", "created", "addressed")
    list_filter = (choice_filter("kind", "type", TYPES, narrows=by_field("type")),)
    fields = ("identifier", "type", "key", "content", "correlation", "created", "addressed")

    identifier = shown_as(lambda row: identifier_of(row.id), "event")
    created = shown_as(lambda row: moment_of(row.created_at), "happened")
    addressed = shown_as(lambda row: moment_of(row.addressed_at), "addressed")
    correlation = shown_as(lambda row: identifier_of(row.correlation_id), "correlation id")
    content = shown_as(
        lambda row: format_html('<pre tabindex="0">{}</pre>', json.dumps(row.payload, indent=2, sort_keys=True)),
        "content",
    )

    def sections_of(self, row: OutboxEvent, request: HttpRequest) -> Sequence[Section]:
        return (deliveries_section(row.deliveries.select_related("event", "endpoint").order_by("-id")[:SHOWN_MAX]),)


def deliveries_section(deliveries: Any) -> Section:
    """The newest deliveries of an event or to an endpoint."""
    return Section(
        "Newest deliveries",
        (Column("Number"), Column("Event"), Column("State"), Column("Tries", is_figure=True), Column("Last answer")),
        [
            (
                identifier_of(str(one.pk), url=url_of("billing.webhookdelivery", one.pk)),
                one.event.type,
                state_of(one.state),
                one.tries,
                one.last_error or str(one.last_status or NOTHING),
            )
            for one in deliveries
        ],
        when_empty="Nothing was sent yet.",
    )
