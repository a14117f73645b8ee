"""Charging by path: routes in the settings, views that know nothing of it, and no spelling that gets around a price."""

from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from tests.x402 import paywall_urls
from tests.x402.buyer import Buyer, terms_of
from tests.x402.test_paywall_views import AsgiClient
from x402.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paywall_urls")]

PATHS = {
    "reports/<slug:name>": {"price": "$0.02", "description": "A report"},
    "later": {"price": 3_000},
    "plain": {"price": "$9"},
}


@pytest.fixture(autouse=True)
def _paths(settings: Settings) -> None:
    paywall_urls.runs.clear()
    settings.LOA = settings.LOA | {"PAID_PATHS": PATHS}
    settings.MIDDLEWARE = ["x402.middleware.PaywallMiddleware", *settings.MIDDLEWARE]


@pytest.fixture(params=["wsgi", "asgi"])
def path_buyer(request: pytest.FixtureRequest, buyer: Buyer) -> Buyer:
    buyer.client = AsgiClient() if request.param == "asgi" else Client(enforce_csrf_checks=True)
    return buyer


@pytest.mark.parametrize(("path", "price"), [("/reports/spring", 20_000), ("/later", 3_000)])
def test_a_view_that_knows_nothing_is_paid_for_by_its_path(path_buyer: Buyer, path: str, price: int) -> None:
    terms = terms_of(path_buyer.ask(path))
    response = path_buyer.ask(path, headers={"PAYMENT-SIGNATURE": path_buyer.v2_header(terms)})

    assert terms["accepts"][0]["amount"] == str(price)
    assert (response.status_code, response.json()["paid"]) == (200, price)
    assert Payment.objects.get(payer=path_buyer.address.lower()).charged_micro_usdc == price


def test_a_post_is_paid_for_without_a_csrf_token(path_buyer: Buyer) -> None:
    assert path_buyer.buy("/reports/spring", {"format": "pdf"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/reports/spring", 402),
        ("/reports/%73pring", 402),
        ("/reports/spring?x402=paid", 402),
        ("/reports/spring/summary", 200),
        ("/reports%2Fspring", 402),
        ("//reports/spring", 404),
        ("/reports/spring/", 404),
        ("/reports/spring%0a", 404),
        ("/Reports/spring", 404),
    ],
)
def test_no_spelling_of_an_address_reaches_its_view_unpaid(client: Any, path: str, status: int) -> None:
    """A listed route costs its price however it is written; only the route that is not listed runs."""
    client.raise_request_exception = False

    response = client.get(path)

    assert response.status_code == status
    assert paywall_urls.runs == ({"unpriced": 1} if status == 200 else {})


def test_a_head_request_costs_what_a_get_costs(client: Any) -> None:
    response = client.head("/reports/spring")

    assert response.status_code == 402
    assert paywall_urls.runs == {}


def test_a_view_with_a_price_of_its_own_keeps_it(buyer: Buyer) -> None:
    assert terms_of(buyer.ask("/plain"))["accepts"][0]["amount"] == "10000"
