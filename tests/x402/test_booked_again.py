"""The same log is brought as evidence a second time, by whoever takes over from a leader that died after booking it."""

from collections.abc import Callable

import pytest

from billing.models import DeadLetter
from billing.selectors import journals
from tests.x402 import work_first_urls
from tests.x402.buyer import Buyer
from x402.facilitators.base import Evidence
from x402.models import Payment
from x402.services.settlement import book_evidence

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.work_first_urls")]


def test_evidence_of_a_payment_that_has_moved_on_since_is_nothing_new(new_buyer: Callable[[int], Buyer]) -> None:
    work_first_urls.costs.clear()
    work_first_urls.during_work.clear()
    buyer = new_buyer(100_000)
    buyer.buy("/after-exact")
    [payment] = Payment.objects.filter(payer=buyer.address.lower())
    Payment.objects.filter(pk=payment.pk).update(attempt=payment.attempt + 1)  # another process took it over
    seen = Evidence(
        payment_id=payment.pk,
        transaction_hash=payment.transaction_hash,
        block_hash=payment.block_hash,
        block_number=payment.block_number,
        log_index=payment.log_index,
    )
    booked = [one.id for one in journals.journals_of(payment_id=payment.pk)]

    assert book_evidence([seen]) == [payment.pk]

    assert DeadLetter.objects.filter(subject_id=payment.pk).count() == 0
    assert [one.id for one in journals.journals_of(payment_id=payment.pk)] == booked
    assert Payment.objects.get(pk=payment.pk).state == "served"
