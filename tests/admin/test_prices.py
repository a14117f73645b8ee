"""A price is published and revoked, never edited."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from inference.models import Model, ModelPrice
from telemetry.identifiers import new_id


@pytest.fixture
def sold(transactional_db: None) -> Model:
    """A model with one price."""
    model = Model.objects.create(
        name=f"model-{new_id('test')}", upstream="demo", upstream_model="x", context_tokens=4_096, max_output_tokens=512
    )
    ModelPrice.objects.create(
        model=model,
        version=1,
        input_micro_usd_per_million=1_000_000,
        output_micro_usd_per_million=2_000_000,
        valid_from=model.created_at,
    )
    return model


def publish(client: Client, model: Model, *, seen_version: int, **prices: object) -> int:
    form = {
        "input_micro_usd_per_million": "3000000",
        "output_micro_usd_per_million": "15000000",
        "seen_version": seen_version,
    }
    return client.post(reverse("admin:inference_model_price", args=[model.pk]), form | prices).status_code


def versions_of(model: Model) -> list[tuple[int, int, int]]:
    rows = model.prices.order_by("version")
    return [(row.version, row.input_micro_usd_per_million, row.output_micro_usd_per_million) for row in rows]


def test_a_new_price_is_a_new_version_and_the_old_one_stays(staff: Client, sold: Model):
    assert publish(staff, sold, seen_version=1) == 302

    assert versions_of(sold) == [(1, 1_000_000, 2_000_000), (2, 3_000_000, 15_000_000)]


def test_a_double_click_publishes_once(staff: Client, sold: Model):
    assert publish(staff, sold, seen_version=1) == 302
    assert publish(staff, sold, seen_version=1) == 200

    assert [version for version, _, _ in versions_of(sold)] == [1, 2]


@pytest.mark.parametrize("price", ["-1", "1.5", "1e6", "nan", "", "1000000000001", "x", "9" * 400])
def test_a_price_that_is_no_whole_number_in_range_is_refused(staff: Client, sold: Model, price: str):
    assert publish(staff, sold, seen_version=1, input_micro_usd_per_million=price) == 200

    assert versions_of(sold) == [(1, 1_000_000, 2_000_000)]


def test_revoking_asks_first_and_leaves_the_row(staff: Client, sold: Model):
    price = sold.prices.get()
    address = reverse("admin:inference_modelprice_revoke", args=[price.pk])

    asked = staff.get(address)
    price.refresh_from_db()
    assert (asked.status_code, price.is_revoked) == (200, False)

    done = staff.post(address)
    price.refresh_from_db()
    assert (done.status_code, price.is_revoked) == (302, True)


def test_neither_is_open_to_staff_who_may_only_look(sold: Model):
    clerk, user = Client(), User.objects.create_user(f"clerk-{sold.name}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_model", "view_modelprice"]))
    clerk.force_login(user)

    assert publish(clerk, sold, seen_version=1) == 403
    assert clerk.post(reverse("admin:inference_modelprice_revoke", args=[sold.prices.get().pk])).status_code == 403
    assert versions_of(sold) == [(1, 1_000_000, 2_000_000)]


def test_a_sold_model_keeps_its_name_and_is_never_deleted(staff: Client, sold: Model):
    form = {
        "name": "another",
        "upstream": "demo",
        "upstream_model": "x",
        "capabilities": '["chat"]',
        "context_tokens": "4096",
        "max_output_tokens": "256",
        "routes-TOTAL_FORMS": "0",
        "routes-INITIAL_FORMS": "0",
    }
    staff.post(reverse("admin:inference_model_change", args=[sold.pk]), form)
    deleted = staff.post(reverse("admin:inference_model_delete", args=[sold.pk]), {"post": "yes"})

    sold.refresh_from_db()
    assert (sold.name.startswith("model-"), sold.max_output_tokens, deleted.status_code) == (True, 256, 403)
