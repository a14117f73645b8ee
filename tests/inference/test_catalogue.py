"""The catalogue's rows: what is listed, and that a published price stays as it was."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import override_settings
from django.utils import timezone

from inference.models import Model, ModelPrice
from inference.selectors import catalogue
from inference.services.price_versions import publish_price, revoke_price
from inference.services.pricing import ChatPrice
from telemetry.identifiers import new_id
from x402.pricing import PricedRequest
from x402.protocol.errors import UnpriceableRequest

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model():
    """A model of its own for each test, withdrawn from sale afterwards: rows of the catalogue are never deleted."""
    made = Model.objects.create(
        name=new_id("mod"),
        upstream="demo",
        upstream_model="loa-demo",
        context_tokens=1_000,
        max_output_tokens=500,
    )
    yield made
    Model.objects.filter(pk=made.pk).update(is_offered=False)
    catalogue.forget_snapshot()


def priced(sold, **body):
    return PricedRequest(
        method="POST",
        path="/api/v1/x402/invoke",
        query=(),
        media_type="application/json",
        json={"prompt": "Hi", "max_tokens": 100, "model": sold.name} | body,
        body=b"",
    )


def test_the_launch_catalogue_has_the_published_prices():
    prices = {
        row.model.name: (row.input_micro_usd_per_million, row.output_micro_usd_per_million)
        for row in ModelPrice.objects.filter(version=1).select_related("model")
    }

    assert (
        prices.items()
        >= {
            "claude-sonnet-4": (3_000_000, 15_000_000),
            "claude-haiku-4": (1_000_000, 5_000_000),
            "gpt-4.1": (2_000_000, 8_000_000),
            "gpt-4.1-mini": (400_000, 1_600_000),
            "loa-demo": (1_000_000, 2_000_000),
        }.items()
    )


def test_only_models_with_a_configured_upstream_are_listed():
    catalogue.forget_snapshot()

    assert catalogue.offered_model("loa-demo") is not None
    assert catalogue.offered_model("gpt-4.1") is None


def test_an_upstream_in_the_settings_lists_its_models(settings):
    other = {"class": "inference.upstreams.openai.OpenAIUpstream", "base_url": "http://127.0.0.1:1/v1"}
    catalogue.forget_snapshot()

    with override_settings(LOA=settings.LOA | {"UPSTREAMS": {"openai": other}}):
        listed = [model.name for model in catalogue.offered_models()]
    catalogue.forget_snapshot()

    assert listed == ["gpt-4.1", "gpt-4.1-mini"]


def test_a_model_without_a_price_is_not_listed(model):
    catalogue.forget_snapshot()

    assert catalogue.offered_model(model.name) is None


def test_a_new_price_is_a_new_version_and_the_old_one_stays_payable(model):
    publish_price(model, input_micro_usd_per_million=1_000_000, output_micro_usd_per_million=1_000_000)
    before = ChatPrice().maximum(priced(model))

    publish_price(model, input_micro_usd_per_million=5_000_000, output_micro_usd_per_million=5_000_000)

    after = ChatPrice().maximum(priced(model))
    assert (before.price_version, after.price_version) == (1, 2)
    assert after.max_cost_micro_usdc == 5 * before.max_cost_micro_usdc
    assert ChatPrice().maximum_at(priced(model), 1) == before


def test_a_revoked_version_is_no_longer_quoted_or_payable(model):
    publish_price(model, input_micro_usd_per_million=1_000_000, output_micro_usd_per_million=1_000_000)
    publish_price(model, input_micro_usd_per_million=9, output_micro_usd_per_million=9)

    assert revoke_price(model, version=2) is True

    assert ChatPrice().maximum_at(priced(model), 2) is None
    assert ChatPrice().maximum(priced(model)).price_version == 1
    assert revoke_price(model, version=2) is False


def test_a_version_nobody_published_is_no_price(model):
    publish_price(model, input_micro_usd_per_million=1, output_micro_usd_per_million=1)

    assert ChatPrice().maximum_at(priced(model), 7) is None


def test_a_payment_without_a_quote_may_name_the_prices_of_the_last_minutes(model):
    now = timezone.now()
    for hours, price in ((3, 1_000_000), (2, 2_000_000), (0, 3_000_000)):
        publish_price(
            model,
            input_micro_usd_per_million=price,
            output_micro_usd_per_million=price,
            valid_from=now - timedelta(hours=hours),
        )

    within = ChatPrice().maximum_within(priced(model), 300)

    assert [quotation.price_version for quotation in within] == [3, 2]


def test_a_price_of_tomorrow_is_not_quoted_today(model):
    publish_price(model, input_micro_usd_per_million=1, output_micro_usd_per_million=1)
    publish_price(
        model,
        input_micro_usd_per_million=2,
        output_micro_usd_per_million=2,
        valid_from=timezone.now() + timedelta(days=1),
    )

    assert ChatPrice().maximum(priced(model)).price_version == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"model": "no-such-model"}, "unknown_model"),
        ({"model": "nul\x00"}, "unknown_model"),
        ({"model": "gpt-4.1"}, "unknown_model"),
        ({"max_tokens": 501}, "invalid_max_tokens"),
        ({"max_tokens": 0}, "invalid_max_tokens"),
        ({"prompt": " "}, "empty_prompt"),
        ({"prompt": "word " * 2_000}, "prompt_too_long"),
    ],
)
def test_what_cannot_be_answered_has_no_price(model, body, code):
    publish_price(model, input_micro_usd_per_million=1, output_micro_usd_per_million=1)

    with pytest.raises(UnpriceableRequest) as refusal:
        ChatPrice().maximum(priced(model, **body))

    assert refusal.value.code == code


@pytest.mark.parametrize("change", [{"input_micro_usd_per_million": 1}, {"version": 9}, {"valid_from": timezone.now()}])
def test_the_database_refuses_to_change_a_published_price(model, change):
    published = publish_price(model, input_micro_usd_per_million=7, output_micro_usd_per_million=7)

    with pytest.raises(IntegrityError), transaction.atomic():
        ModelPrice.objects.filter(pk=published.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelPrice.objects.filter(pk=published.pk).delete()

    published.refresh_from_db()
    assert (published.version, published.input_micro_usd_per_million) == (1, 7)
