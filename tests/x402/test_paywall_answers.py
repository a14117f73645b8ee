"""Who gets the page and who the document, what other origins may read, and sweeping without workers."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing.domain.errors import LedgerUnavailable
from tests.x402.buyer import Buyer, terms_of
from x402 import cors
from x402.models import Payment, PaymentState
from x402.services import serving
from x402.services.housekeeping import Housekeeping
from x402.services.serving_leases import Claim

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.browser.paywall_urls")]

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FOREIGN = "https://wallet.example"


def test_a_browser_gets_the_terms_as_a_page_with_the_same_headers(client: Client) -> None:
    page = client.get("/paid/forecast", headers={"Accept": BROWSER})
    document = client.get("/paid/forecast", headers={"Accept": "application/json"})

    assert (page.status_code, page["Content-Type"]) == (402, "text/html; charset=utf-8")
    assert (document.status_code, document["Content-Type"]) == (402, "application/problem+json")
    assert terms_of(page)["accepts"][0]["amount"] == terms_of(document)["accepts"][0]["amount"] == "10000"
    for answer in (page, document):
        assert answer["Cache-Control"] == "private, no-store"
        assert "Accept" in answer["Vary"]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", None])
def test_a_program_never_gets_the_page(client: Client, accept: str | None) -> None:
    response = client.get("/paid/forecast", headers={} if accept is None else {"Accept": accept})

    assert response["Content-Type"] == "application/problem+json"


def test_a_form_that_was_posted_gets_no_page_to_pay_on_since_none_could_send_it_again(client: Client) -> None:
    response = client.post("/paid/forecast", {"a": "1"}, headers={"Accept": BROWSER})

    assert response.status_code == 402
    assert terms_of(response)["accepts"][0]["amount"] == "10000"
    assert b"x402-pay" not in response.content


def test_a_refused_payment_is_told_on_the_page(buyer: Buyer, new_buyer: Any) -> None:
    poor = new_buyer(0)
    terms = terms_of(poor.ask("/paid/forecast"))

    page = poor.ask("/paid/forecast", headers={"Accept": BROWSER, "PAYMENT-SIGNATURE": poor.v2_header(terms)})

    assert (page.status_code, page["Content-Type"]) == (402, "text/html; charset=utf-8")
    assert 'role="alert"' in page.content.decode()
    assert "The balance does not cover this request" in page.content.decode()


def test_what_a_developer_wrote_is_shown_as_text(client: Client, settings: Settings) -> None:
    page = client.get("/paid/forecast?x=<script>alert(1)</script>", headers={"Accept": BROWSER}).content.decode()

    assert "<script>alert" not in page
    assert "%3Cscript%3E" in page or "&lt;script&gt;" in page or "\\u003Cscript" in page


def test_a_wallet_of_another_origin_may_ask_pay_and_read(buyer: Buyer, settings: Settings) -> None:
    settings.CORS_URLS_REGEX = r"^/paid/.*$"
    asks = {"Origin": FOREIGN, "Access-Control-Request-Method": "GET"}
    asks["Access-Control-Request-Headers"] = ",".join(cors.ALLOW_HEADERS)
    preflight = buyer.client.options("/paid/forecast", headers=asks)
    terms = terms_of(buyer.ask("/paid/forecast", headers={"Origin": FOREIGN}))

    paid = buyer.ask("/paid/forecast", headers={"Origin": FOREIGN, "PAYMENT-SIGNATURE": buyer.v2_header(terms)})

    allowed = {name.strip() for name in preflight["Access-Control-Allow-Headers"].split(",")}
    exposed = {name.strip() for name in paid["Access-Control-Expose-Headers"].split(",")}
    assert preflight.status_code == 200
    assert not preflight.has_header("PAYMENT-REQUIRED")
    assert set(cors.ALLOW_HEADERS) <= allowed
    assert set(cors.EXPOSE_HEADERS) <= exposed
    assert (paid.status_code, paid["Access-Control-Allow-Origin"]) == (200, "*")


def test_without_workers_a_request_sweeps_what_is_due_beside_itself(
    buyer: Buyer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = _crashed_payment(buyer, monkeypatch)
    settings.LOA = settings.LOA | {"BACKGROUND_WORK": "requests"}
    keeper = Housekeeping()

    keeper.begin_if_due()
    first = keeper.thread
    keeper.begin_if_due()

    assert first is not None
    assert keeper.thread is first
    first.join(30)
    crashed.refresh_from_db()
    assert (crashed.state, crashed.failure_code) == (PaymentState.CREDITED, "work_interrupted")


def _crashed_payment(buyer: Buyer, monkeypatch: pytest.MonkeyPatch) -> Payment:
    """A payment whose process died in the middle of the work, some time ago."""

    def unreachable(payment_id: str) -> Claim | None:
        raise LedgerUnavailable(reason="the connection was refused")

    with monkeypatch.context() as outage:
        outage.setattr(serving.leases, "claim", unreachable)
        assert buyer.buy("/paid/forecast").status_code == 503
    payment = Payment.objects.get(payer=buyer.address.lower())
    assert serving.leases.claim(payment.pk) == Claim(1, payment.settled_at)
    serving.leases.drop(payment.pk)
    Payment.objects.filter(pk=payment.pk).update(lease_until=timezone.now() - timedelta(minutes=5))
    return payment


def test_with_workers_no_request_sweeps(settings: Settings) -> None:
    settings.LOA = settings.LOA | {"BACKGROUND_WORK": "workers"}
    keeper = Housekeeping()

    keeper.begin_if_due()

    assert keeper.thread is None
