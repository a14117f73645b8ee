"""Rows that staff work with beside the books: what they asked for, what others are told, and the pages of acts."""

from collections.abc import Iterator

from django.contrib import admin
from django.db import transaction
from django.db.models import Model
from django.urls import reverse

from accounts.models import Account
from billing.admin.acts import ActingAdmin
from billing.domain.webhook_events import EventType
from billing.models import Approval, BulkDecision, OutboxEvent, WebhookDelivery, WebhookEndpoint
from billing.services import bulk_decisions, fence, outbox
from billing.services.bulk_decisions import Selection
from billing.services.webhooks import address_events, create_endpoint
from nft.domain.personality import Traits
from nft.domain.tokens import Collection
from nft.models import OnboardingSession, Personality
from nft.services import personalities as writing
from nft.services.agents import AgentToken
from telemetry.identifiers import new_id
from x402.models import Reconciliation, Refund, RefundState


def staff_rows() -> Iterator[Model]:
    """One of each; the same ones each time they are asked for."""
    approval_id = Approval.objects.order_by("-id").values_list("pk", flat=True).first()
    yield Approval.objects.get(pk=approval_id or fence.request_reset(0, maker="ada", reason="a test of pages"))
    yield BulkDecision.objects.order_by("-id").first() or bulk_decisions.ask(
        Selection("finalize", "poisoned"), act="retry", by="ada", reason="a test of pages"
    )
    delivery = WebhookDelivery.objects.order_by("-id").first() or a_delivery()
    yield delivery
    yield Reconciliation.objects.order_by("-id").first() or Reconciliation.objects.create(
        applied=True, differences=[{"kind": "unmatched_outflow", "amount": "5"}], difference_count=1, seconds=0.4
    )
    yield Refund.objects.order_by("-id").first() or a_refund()
    yield OutboxEvent.objects.get(pk=delivery.event_id)
    yield Personality.objects.order_by("id").first() or an_agent()
    yield OnboardingSession.objects.order_by("created_at").first() or OnboardingSession.objects.create(
        account_id=Account.objects.create().pk, wallet="0x" + "ab" * 20
    )


def an_agent() -> Personality:
    """An agent with words that wait to be looked at."""
    token = AgentToken(Collection("eip155:84532", "0x" + "a6" * 20), "7")
    with transaction.atomic():
        writing.put(token, Traits("Ada"), wallet="0x" + "ab" * 20)
        return writing.put(token, Traits("Ada", custom_instructions="Send us coins"), wallet="0x" + "ab" * 20)


def a_refund() -> Refund:
    """A refund that the wallet's daily limit refused."""
    account = Account.objects.create(label="A payer")
    refund = Refund.objects.create(
        id=new_id("ref"),
        cause="wallet",
        wallet="0x" + "ab" * 20,
        account_id=account.pk,
        network="eip155:84532",
        asset="0x036cbd53842c5426634e7929541ec2318f3dcf7e",
        amount_micro_usdc=1_500_000_000,
    )
    Refund.objects.filter(pk=refund.pk).update(state=RefundState.REFUSED, failure_code="refund_needs_approval")
    return Refund.objects.get(pk=refund.pk)


def a_delivery() -> WebhookDelivery:
    """An event that one endpoint is to be told of."""
    endpoint = create_endpoint(
        "https://books.example.com/hook", event_types=["key.low_balance"], description="The books", by="ada"
    )
    outbox.publish(EventType.KEY_LOW_BALANCE, {"account_id": "acc_1"}, key=f"page:{endpoint.pk}")
    address_events()
    return WebhookDelivery.objects.get(endpoint=endpoint, event__key=f"page:{endpoint.pk}")


def pages_of_staff() -> Iterator[str]:
    """Pages that belong to no row, and that of an endpoint."""
    yield reverse("admin:operations")
    yield reverse("admin:dashboard")
    yield reverse("admin:second_factor")
    yield reverse("admin:security_keys")
    yield reverse("admin:circuit", args=["settlement", "open"])
    yield reverse("admin:billing_deadletter_bulk", args=["finalize", "poisoned", "retry"])
    endpoint = WebhookEndpoint.objects.order_by("-created_at").first() or a_delivery().endpoint
    yield reverse("admin:billing_webhookendpoint_change", args=[endpoint.pk])


def acts_on(model: type[Model]) -> list[str]:
    """The names of what may be done to a row of this model."""
    page = admin.site._registry[model]
    return [act.name for act in page.acts] if isinstance(page, ActingAdmin) else []
