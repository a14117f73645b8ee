"""Plan 12.4: quote → EIP-3009 authorization → verify → settle → finalize → ledger, with a simulated Redis.

The settlement is scripted at the facilitator boundary, so this shows orchestration, correlation and ledger arithmetic.
Not tested here, because a simulation cannot show it: nonce replay under concurrency, the Lua scripts' atomicity,
XREADGROUP and XACK, the fence's compare-and-set. Its twin on real services is tests/x402/test_paid_requests.py.
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
import redis
from django.http import JsonResponse
from django.test import RequestFactory

from billing.locks.process_writer import process_writer
from billing.selectors import credit_notes, journals, reports
from billing.services import dead_letters
from tests.journeys.scripted_facilitator import ScriptedFacilitator
from tests.x402.buyer import Buyer, terms_of
from tests.x402.conftest import chain, new_buyer
from x402.models import Payment
from x402.protocol import quote_token
from x402.services import paid_requests, settler, verification
from x402.services.offers import quote_keys
from x402.services.quotes import endpoint_at
from x402.services.serving import Work, serve
from x402.services.settlement import advance

__all__ = ["chain", "new_buyer"]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.x402.paid_urls"),
    pytest.mark.timeout(10),
]

QUOTED, ACTUAL = 2_000, 700
PATH, QUESTION = "/metered", {"question": "what does it cost?"}


@pytest.fixture(autouse=True)
def _simulated_redis(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A simulated Redis for this process's writer and everything else: the library itself hands it out."""
    settler.rest()
    process_writer().release()
    server = fakeredis.FakeServer(server_type="redis", version=(7, 2))

    def simulated(_url: str, **_options: Any) -> fakeredis.FakeRedis:
        return fakeredis.FakeRedis(server=server)

    monkeypatch.setattr(redis.Redis, "from_url", simulated)
    settings.LOA = {**settings.LOA, "REDIS_URL": f"redis://simulated-{secrets.token_hex(4)}:6379/0"}
    yield
    process_writer().release()


def quoted(buyer: Buyer) -> tuple[dict[str, Any], str]:
    """The terms of an unpaid request, and the id of the quote in them."""
    terms = terms_of(buyer.ask(PATH, QUESTION))
    offer = terms["accepts"][0]
    token = quote_token.authenticate(offer["extra"]["quote"], keys=quote_keys())
    return terms, token.quote_id


def verified(buyer: Buyer, terms: dict[str, Any]) -> tuple[Payment, Work]:
    """The payment row of a signed request, and the work it pays for."""
    request = RequestFactory().post(
        PATH,
        json.dumps(QUESTION),
        content_type="application/json",
        headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms)},
    )
    incoming = paid_requests.read(request)
    endpoint = endpoint_at(PATH)
    presented = verification.decode(incoming)
    payment, is_new = verification.verify(
        presented, incoming=incoming, endpoint=endpoint, quotation=endpoint.price.maximum(incoming.priced)
    )
    assert is_new
    return payment, Work(run=answered, priced=incoming.priced, atomic=endpoint.atomic)


def answered(work: Work, payment: Payment) -> JsonResponse:
    """The paid work: it costs less than was quoted."""
    work.cost_micro_usdc = ACTUAL
    return JsonResponse({"paid_by": payment.payer})


def test_a_payment_flows_from_quote_to_ledger_under_one_correlation_id(new_buyer: Callable[[int], Buyer]) -> None:
    buyer = new_buyer(1_000_000)
    terms, quote_id = quoted(buyer)
    payment, work = verified(buyer, terms)

    progress = advance(ScriptedFacilitator(payment.pk))
    payment.refresh_from_db()
    assert (progress.settled, payment.state) == ((payment.pk,), "settled")
    assert serve(payment, work)

    payment.refresh_from_db()
    assert (payment.state, payment.charged_micro_usdc, payment.quote_id) == ("served", ACTUAL, quote_id)
    booked = journals.journals_of(payment_id=payment.pk)
    assert [(journal.kind, journal.correlation_id) for journal in booked] == [
        ("x402_settled", quote_id),
        ("billing_commit", quote_id),
    ]
    sums: dict[str, int] = defaultdict(int)
    for journal in booked:
        for line in journal.postings:
            sums[line.denomination] += line.amount
    assert set(sums.values()) == {0}
    assert reports.conservation().is_conserved


def test_what_was_quoted_and_not_used_becomes_a_credit_note(new_buyer: Callable[[int], Buyer]) -> None:
    buyer = new_buyer(1_000_000)
    payment, work = verified(buyer, quoted(buyer)[0])
    advance(ScriptedFacilitator(payment.pk))
    payment.refresh_from_db()

    assert serve(payment, work)

    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount, note.remaining) == ("change", QUOTED - ACTUAL, QUOTED - ACTUAL)


def test_a_failed_settlement_is_a_dead_letter_and_nothing_is_booked(new_buyer: Callable[[int], Buyer]) -> None:
    buyer = new_buyer(1_000_000)
    terms, quote_id = quoted(buyer)
    payment, work = verified(buyer, terms)

    progress = advance(ScriptedFacilitator(payment.pk, failure="transaction_failed"))

    payment.refresh_from_db()
    assert (progress.failed, payment.state) == ((payment.pk,), "settlement_unknown")
    [letter] = [one for one in dead_letters.list_letters(queue="settlement") if one.subject_id == payment.pk]
    assert (letter.reason, letter.correlation_id) == ("transaction_failed", quote_id)
    assert not serve(payment, work)
    assert journals.journals_of(payment_id=payment.pk) == []
    assert credit_notes.notes_of(buyer.address) == []
    dead_letters.void(letter.id, by="the test", reason="its payment is scripted and will never settle")
