"""The proof of the ledger looks at payments too."""

import pytest
from django.core.management import call_command

from billing.services.verification import verify_ledger
from tests.x402.buyer import Buyer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]


def test_paid_credited_and_mixed_payments_prove_clean(buyer: Buyer) -> None:
    buyer.buy("/metered", {"n": 1})
    buyer.buy("/failing")

    proof = verify_ledger()

    [payments] = [result for result in proof.results if result.check == "payments"]
    assert payments.finding is None
    assert payments.row_count >= 2
    call_command("ledger_verify")
