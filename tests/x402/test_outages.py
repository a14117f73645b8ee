"""The books cannot be reached in the middle of a payment: nothing is lost, and the payer is told to send it again."""

import pytest

from billing.domain.errors import LedgerUnavailable
from tests.x402 import paid_urls
from tests.x402.buyer import Buyer, receipt_of, terms_of
from x402.services import serving
from x402.services.serving_leases import Claim

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]


def test_books_that_cannot_be_reached_before_the_work_cost_nothing_but_a_retry(
    buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/metered", {"n": 1})))}

    def unreachable(payment_id: str) -> Claim | None:
        raise LedgerUnavailable(reason="the connection was refused")

    with monkeypatch.context() as outage:
        outage.setattr(serving.leases, "claim", unreachable)
        first = buyer.ask("/metered", {"n": 1}, header)
    retry = buyer.ask("/metered", {"n": 1}, header)

    assert (first.status_code, first.json()["code"]) == (503, "payment_in_progress")
    assert first["Retry-After"] == "5"
    assert first.json()["payment_id"] == receipt_of(retry)["extensions"]["loa"]["payment_id"]
    assert retry.status_code == 200
    assert paid_urls.runs["metered"] == 1
