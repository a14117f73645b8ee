"""The proof of the ledger looks at payments too."""

from collections.abc import Callable

import pytest
from django.core.management import call_command

from billing.services.verification import verify_ledger
from tests.x402.buyer import Buyer
from tests.x402.purchasing import buy, new_key
from x402.facilitators.base import Evidence
from x402.models import Payment
from x402.services.settlement import book_evidence

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]


def test_paid_credited_and_mixed_payments_prove_clean(buyer: Buyer) -> None:
    buyer.buy("/metered", {"n": 1})
    buyer.buy("/failing")

    proof = verify_ledger()

    [payments] = [result for result in proof.results if result.check == "payments"]
    assert payments.finding is None
    assert payments.row_count >= 2
    call_command("ledger_verify")


@pytest.mark.urls("tests.x402.credit_urls")
def test_credit_whose_money_was_mined_again_in_another_block_is_minted(new_buyer: Callable[[int], Buyer]) -> None:
    buyer = new_buyer(50_000_000)
    assert buy(buyer, {"pack": 500}, key=new_key()).status_code == 200
    [payment] = Payment.objects.filter(payer=buyer.address.lower())
    elsewhere = Evidence(
        payment_id=payment.pk,
        transaction_hash=payment.transaction_hash,
        block_hash="0x" + "ab" * 32,
        block_number=payment.block_number + 1,
        log_index=payment.log_index + 1,
    )

    book_evidence([elsewhere])

    assert Payment.objects.get(pk=payment.pk).block_hash == elsewhere.block_hash
    [payments] = [result for result in verify_ledger().results if result.check == "payments"]
    assert payments.finding is None
