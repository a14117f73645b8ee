"""Features that staff switch off: nothing new begins, and what was paid is answered all the same (R19)."""

from typing import Any

import pytest

from accounts.services import feature_flags
from accounts.services.feature_flags import Setting
from tests.x402 import paid_urls
from tests.x402.buyer import Buyer, terms_of
from x402.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]


@pytest.fixture(autouse=True)
def _on_again() -> Any:
    yield
    for name in ("billing", "x402"):
        feature_flags.set_flag(name, Setting(True), actor="test", reason="on again")


def switch_off(name: str) -> None:
    feature_flags.set_flag(name, Setting(False), actor="test", reason="off")


@pytest.mark.parametrize("name", ["billing", "x402"])
def test_what_is_off_is_refused_without_terms_and_nothing_is_taken(buyer: Buyer, name: str) -> None:
    terms = terms_of(buyer.ask("/metered", {"n": 1}))
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}
    switch_off(name)

    unpaid, paid = buyer.ask("/metered", {"n": 1}), buyer.ask("/metered", {"n": 1}, header)

    for refused in (unpaid, paid):
        assert (refused.status_code, refused.json()["code"]) == (503, "feature_disabled")
        assert not refused.has_header("PAYMENT-REQUIRED")
        assert refused.has_header("Retry-After")
    assert paid_urls.runs["metered"] == 0
    assert not Payment.objects.filter(payer=buyer.address.lower()).exists()


def test_a_payment_made_before_is_answered_after_the_switch(buyer: Buyer) -> None:
    terms = terms_of(buyer.ask("/metered", {"n": 1}))
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}
    first = buyer.ask("/metered", {"n": 1}, header)
    switch_off("x402")

    again = buyer.ask("/metered", {"n": 1}, header)

    assert (again.status_code, again.content) == (200, first.content)
    assert paid_urls.runs["metered"] == 1
