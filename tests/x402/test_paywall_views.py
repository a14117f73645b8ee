"""Every way to declare a paid view: plain and asynchronous, REST framework's, and every form of a price."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from pytest_django.fixtures import Settings

from tests.x402 import paywall_urls
from tests.x402.buyer import Buyer, receipt_of, terms_of
from x402.models import Payment, PaymentState
from x402.paywall import PaidView, requires_payment
from x402.services.endpoints import price_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paywall_urls")]

JSON = {"content_type": "application/json"}


class AsgiClient:
    """Django's asynchronous test client behind the synchronous one's methods; streams are read to their end."""

    def __init__(self) -> None:
        self._client = AsyncClient()

    def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        return self._complete(lambda: self._client.get(path, headers=headers))

    def post(self, path: str, data: str, content_type: str, headers: dict[str, str] | None = None) -> Any:
        return self._complete(lambda: self._client.post(path, data=data, content_type=content_type, headers=headers))

    def _complete(self, ask: Any) -> Any:
        async def run() -> Any:
            response = await ask()
            if response.streaming:
                response.parts = [part async for part in response.streaming_content]
            return response

        return async_to_sync(run)()


@pytest.fixture(autouse=True)
def _forget() -> None:
    paywall_urls.runs.clear()
    paywall_urls.NotBanned.banned.clear()


@pytest.fixture(params=["wsgi", "asgi"])
def any_buyer(request: pytest.FixtureRequest, buyer: Buyer) -> Buyer:
    """A buyer at a server of either kind."""
    if request.param == "asgi":
        buyer.client = AsgiClient()
    return buyer


def charged(buyer: Buyer) -> int:
    """What the buyer's only payment was charged. Units: MicroUSDC."""
    return int(Payment.objects.get(payer=buyer.address.lower()).charged_micro_usdc or 0)


@pytest.mark.parametrize("name", ["plain", "asynchronous"])
def test_a_view_of_either_kind_is_paid_for_once_and_answers_its_retry(any_buyer: Buyer, name: str) -> None:
    terms = terms_of(any_buyer.ask(f"/{name}", {"b": 1}))
    header = {"PAYMENT-SIGNATURE": any_buyer.v2_header(terms)}

    first, again = (any_buyer.ask(f"/{name}", {"b": 1}, header) for _ in range(2))

    assert (first.status_code, first.json()) == (200, {"payer": any_buyer.address.lower(), "body": {"b": 1}})
    assert (again.status_code, again.content) == (200, first.content)
    assert paywall_urls.runs == {name: 1}
    assert charged(any_buyer) == 4_000
    assert receipt_of(first)["extensions"]["loa"]["credit_note"]["amount_micro_usdc"] == "6000"


@pytest.mark.parametrize("name", ["plain-failing", "asynchronous-failing"])
def test_a_view_of_either_kind_that_breaks_gives_the_money_back(any_buyer: Buyer, name: str) -> None:
    response = any_buyer.buy(f"/{name}")

    assert (response.status_code, response.json()["code"]) == (502, "paid_work_failed")
    assert response.json()["credit_notes"][0]["amount_micro_usdc"] == "10000"
    assert Payment.objects.get(payer=any_buyer.address.lower()).state == PaymentState.CREDITED


def test_an_asynchronous_stream_is_charged_for_what_it_told_at_its_end(any_buyer: Buyer) -> None:
    response = any_buyer.buy("/asynchronous-stream")

    parts = response.parts if hasattr(response, "parts") else list(response.streaming_content)
    assert b"".join(parts) == b"0 1 2 "
    response.close()
    assert charged(any_buyer) == 3_000


def test_an_asynchronous_view_has_no_transaction_of_its_own_and_asking_for_one_is_refused() -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    with pytest.raises(ValueError, match="no transaction of its own"):
        requires_payment(price="$0.01", atomic=True)(view)


def test_an_options_request_costs_nothing_and_runs_nothing(any_buyer: Buyer, client: Any) -> None:
    response = client.options("/plain")

    assert (response.status_code, response.content) == (204, b"")
    assert paywall_urls.runs == {}


# Prices


def test_a_function_of_the_request_names_the_price(buyer: Buyer) -> None:
    assert terms_of(buyer.ask("/computed?words=7"))["accepts"][0]["amount"] == "7000"
    assert buyer.buy("/computed?words=3").content == b"computed"
    assert charged(buyer) == 3_000


def test_what_a_price_function_cannot_sell_is_said_before_any_terms(buyer: Buyer) -> None:
    response = buyer.ask("/computed?words=many")

    assert (response.status_code, response.json()["code"]) == (422, "invalid_parameters")
    assert not response.has_header("PAYMENT-REQUIRED")


@pytest.mark.parametrize(("name", "cost"), [("metered", 5_000), ("metered-stream", 7_000)])
def test_a_metered_object_tells_the_cost_when_the_work_is_done(buyer: Buyer, name: str, cost: int) -> None:
    assert terms_of(buyer.ask(f"/{name}"))["accepts"][0]["amount"] == "100000"

    response = buyer.buy(f"/{name}")

    assert response.status_code == 200
    if response.streaming:
        assert len(b"".join(response.streaming_content)) == 700
        response.close()
    assert charged(buyer) == cost


@pytest.mark.parametrize("price", ["0.01", "$0", "$1,000", 0, -1, True, 1.5, None, [], dict, object()])
def test_what_is_no_price_stops_the_start(price: object) -> None:
    with pytest.raises(ValueError, match=r"price|amount|class"):
        price_of(price)


# REST framework


def test_a_paid_rest_view_sells_the_very_value_that_was_priced(any_buyer: Buyer) -> None:
    response = any_buyer.buy("/orders", {"size": 3})

    assert (response.status_code, response.json()) == (200, {"size": 3, "same": True})


def test_a_caller_is_asked_who_it_is_before_anything_costs(buyer: Buyer) -> None:
    response = buyer.ask("/orders", {"size": 3}, {"Shop-Name": "nobody"})

    assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")
    assert not response.has_header("PAYMENT-REQUIRED")


def test_who_may_not_buy_hears_it_before_the_price_and_after_paying_never(buyer: Buyer) -> None:
    named = {"Shop-Name": "ada"}
    terms = terms_of(buyer.ask("/orders", {"size": 3}, named))
    paid = named | {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}
    first = buyer.ask("/orders", {"size": 3}, paid)
    paywall_urls.NotBanned.banned.add("ada")

    refused, again = buyer.ask("/orders", {"size": 3}, named), buyer.ask("/orders", {"size": 3}, paid)

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (again.status_code, again.content) == (200, first.content)
    assert paywall_urls.runs == {"orders": 1}


def test_a_body_that_is_not_acceptable_is_told_before_the_price(buyer: Buyer) -> None:
    response = buyer.ask("/orders", {"size": 10})

    assert (response.status_code, response.json()["code"]) == (422, "invalid_parameters")
    assert "size" in response.json()["detail"]


def test_an_exception_of_the_paid_work_gives_the_money_back(buyer: Buyer) -> None:
    response = buyer.buy("/orders", {"size": 9})

    assert (response.status_code, response.json()["code"]) == (404, "paid_work_failed")
    assert response.json()["credit_notes"][0]["amount_micro_usdc"] == "10000"


def test_methods_a_view_does_not_have_and_those_that_are_free_are_not_charged(client: Any) -> None:
    refused, free = client.put("/orders", "{}", **JSON), client.options("/orders")

    assert (refused.status_code, refused["Allow"]) == (405, "POST, OPTIONS")
    assert (free.status_code, free.json()) == (200, {"methods": ["POST", "OPTIONS"]})


def test_a_view_set_is_paid_for_by_action(buyer: Buyer) -> None:
    listed = buyer.buy("/items")
    created = buyer.buy("/items", {"name": "tea"})

    assert listed.json() == {"action": "list", "payer": buyer.address.lower()}
    assert (created.status_code, created.json()) == (201, {"created": {"name": "tea"}})


@pytest.mark.parametrize("path", ["/rest-function", "/rest-inside-out", "/decorated"])
def test_the_decorator_works_on_rest_functions_and_classes(buyer: Buyer, path: str) -> None:
    response = buyer.buy(path)

    assert (response.status_code, response.json()["paid_by"]) == (200, buyer.address.lower())


def test_a_rest_function_reads_the_body_that_was_paid_for(buyer: Buyer) -> None:
    assert buyer.buy("/rest-function", {"a": [1, 2]}).json()["data"] == {"a": [1, 2]}


def test_a_rest_view_runs_outside_the_requests_transaction(buyer: Buyer, settings: Settings) -> None:
    for path in ("/orders", "/items", "/rest-function", "/decorated"):
        assert "default" in getattr(_view_at(path), "_non_atomic_requests", set())


def test_a_paid_rest_view_without_a_price_stops_the_start() -> None:
    class Forgotten(PaidView):
        """Has no price."""

    with pytest.raises(ValueError, match="is not a price"):
        Forgotten.as_view()


def _view_at(path: str) -> Any:
    from django.urls import resolve

    return resolve(path).func
