"""Rules R7 and R23, rows 15 and 20: what the paid handler does to its own transaction, its answer and its meter."""

from contextlib import suppress

import pytest
from django.conf import settings as site
from django.contrib.auth.models import Group
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.urls import path

from billing.selectors import credit_notes
from tests.attacks import shop
from tests.attacks.score import NETWORK, Attack
from tests.x402.buyer import receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from x402.models import Payment
from x402.paywall import InsideTransaction, requires_payment
from x402.services.streaming import StreamCut

pytestmark = pytest.mark.urls(__name__)


@requires_payment(price=2_000)
def writes_and_fails(request: HttpRequest) -> HttpResponse:
    shop.runs[request.x402.payment_id] += 1
    Group.objects.create(name=request.x402.payment_id)
    if "status" in request.GET:
        return JsonResponse({"error": "no"}, status=int(request.GET["status"]))
    raise RequestDataTooBig("after the work began")


@requires_payment(price=2_000)
def breaks_its_transaction(request: HttpRequest) -> HttpResponse:
    shop.runs[request.x402.payment_id] += 1
    with suppress(DatabaseError), connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    return JsonResponse({"ok": True})


@requires_payment(price=2_000)
def uses_the_database(request: HttpRequest) -> HttpResponse:
    shop.runs[request.x402.payment_id] += 1
    Group.objects.create(name=request.x402.payment_id)
    assert connections["default"].in_atomic_block
    return JsonResponse({"ok": True})


@requires_payment(price=2_000, settle="after")
def empties_its_payer(request: HttpRequest) -> HttpResponse:
    """While it works, whoever pays for it moves the money away."""
    shop.runs[request.x402.payment_id] += 1
    Group.objects.create(name=request.x402.payment_id)
    LocalChain(site.LOA["NETWORKS"][NETWORK]["rpc_urls"][0]).mint(request.x402.payer, 0)
    return JsonResponse({"done": True})


@transaction.atomic
def surrounded(request: HttpRequest) -> HttpResponse:
    return uses_the_database(request)


urlpatterns = [
    *shop.urlpatterns,
    path("fails", writes_and_fails),
    path("breaks", breaks_its_transaction),
    path("database", uses_the_database),
    path("emptied", empties_its_payer),
    path("surrounded", surrounded),
]


@pytest.fixture
def atomic_requests():
    facts = connections["default"].settings_dict
    facts["ATOMIC_REQUESTS"] = True
    yield
    facts["ATOMIC_REQUESTS"] = False


@pytest.mark.attacks("R7 a transaction around the payment")
@pytest.mark.parametrize("path_", ["/database", "/item/a", "/ask"])
def test_a_site_with_atomic_requests_takes_payments(attack: Attack, atomic_requests: None, path_: str) -> None:
    buyer = attack.buyer()

    bought = buyer.buy(path_)

    assert bought.status_code == 200, bought.content
    attack.saw(bought)


@pytest.mark.attacks("R7 a transaction around the payment")
@pytest.mark.parametrize("query", ["", "?status=404", "?status=500"])
def test_the_payment_survives_an_error_in_the_handler_and_its_effects_do_not(
    attack: Attack, atomic_requests: None, query: str
) -> None:
    buyer = attack.buyer()
    headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask(f"/fails{query}")))}

    failed, retried = buyer.ask(f"/fails{query}", headers=headers), buyer.ask(f"/fails{query}", headers=headers)

    payment = Payment.objects.get(payer=buyer.address.lower())
    assert payment.state == "credited"
    assert failed.json()["code"] == retried.json()["code"] == "paid_work_failed"
    assert not Group.objects.filter(name=payment.pk).exists()
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount, note.expires_at) == ("owed", 2_000, None)
    attack.saw(failed, retried)


@pytest.mark.attacks("15 effects of unpaid work")
def test_what_work_did_is_undone_when_its_payer_can_no_longer_pay(attack: Attack) -> None:
    buyer = attack.buyer()
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/emptied")))}

    answer = buyer.ask("/emptied", headers=header)

    payment = Payment.objects.get(payer=buyer.address.lower())
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_funds")
    assert "done" not in answer.json()
    assert (payment.state, payment.work, payment.transaction_hash) == ("verified", "failed", "")
    assert not Group.objects.filter(name=payment.pk).exists()
    attack.saw(answer)


@pytest.mark.attacks("R7 a transaction around the payment")
def test_a_handler_that_breaks_its_own_transaction_is_failed_work(attack: Attack) -> None:
    buyer = attack.buyer()

    answer = buyer.buy("/breaks")

    assert answer.status_code == 502, answer.content
    assert Payment.objects.get(payer=buyer.address.lower()).state == "credited"
    attack.saw(answer)


@pytest.mark.attacks("R7 a transaction around the payment")
@pytest.mark.parametrize("is_paid", [False, True])
def test_a_surrounding_transaction_is_refused_before_any_payment(attack: Attack, is_paid: bool) -> None:
    buyer = attack.buyer()
    headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/item/a")))} if is_paid else {}

    with pytest.raises(InsideTransaction, match="surrounding atomic"):
        buyer.ask("/surrounded", headers=headers)
    quiet = Client(raise_request_exception=False).get("/surrounded", headers=headers)

    assert quiet.status_code == 500
    assert not Payment.objects.filter(payer=buyer.address.lower()).exists()
    assert attack.chain.balance_of(buyer.address) == 1_000_000


@pytest.mark.attacks("R23 the answer that is kept")
def test_an_answer_too_large_to_keep_is_not_charged_for(attack: Attack) -> None:
    buyer = attack.buyer()
    headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/huge")))}

    answer, retried = buyer.ask("/huge", headers=headers), buyer.ask("/huge", headers=headers)

    payment = Payment.objects.get(payer=buyer.address.lower())
    assert payment.state == "credited", (answer.status_code, answer.content[:300])
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount) == ("owed", 2_000)
    assert (answer.status_code, retried.status_code) == (502, 502)
    attack.saw(answer, retried)


@pytest.mark.attacks("R23 the answer that is kept")
def test_work_that_breaks_is_given_back_in_full_and_not_done_again(attack: Attack) -> None:
    buyer = attack.buyer()
    headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/broken")))}

    answers = [buyer.ask("/broken", headers=headers) for _ in range(3)]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(502, "paid_work_failed")}
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount) == ("owed", 2_000)
    assert sum(shop.runs.values()) == 1
    attack.saw(*answers)


@pytest.mark.attacks("R23 the answer that is kept")
def test_a_stream_that_breaks_is_no_answer_and_is_given_back_in_full(attack: Attack) -> None:
    buyer = attack.buyer()
    headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/torn")))}

    with pytest.raises(StreamCut):  # the connection breaks: no client takes this for an answer
        b"".join(buyer.ask("/torn", headers=headers))
    answers = [buyer.ask("/torn", headers=headers) for _ in range(2)]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(502, "paid_work_failed")}
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount) == ("owed", 2_000)
    assert sum(shop.runs.values()) == 1
    attack.saw(*answers)


@pytest.mark.attacks("20 inflated usage")
@pytest.mark.parametrize(
    ("cost", "charged"),
    [(0, 0), (1, 1), (1_999, 1_999), (2_000, 2_000), (2_001, 2_000), (10**12, 2_000), (10**30, 2_000)],
)
def test_a_meter_that_lies_never_charges_more_than_was_signed(attack: Attack, cost: int, charged: int) -> None:
    buyer = attack.buyer()
    buyer.client = Client(raise_request_exception=False)
    shop.costs.append(cost)

    answer = buyer.buy("/ask", {"n": cost % 7})

    assert answer.status_code in (200, 502), answer.content
    notes = credit_notes.notes_of(buyer.address)
    if answer.status_code == 200:
        assert receipt_of(answer)["extensions"]["loa"]["charged_micro_usdc"] == str(charged)
        assert sum(note.remaining for note in notes) == 2_000 - charged
    else:
        assert [(note.kind, note.amount) for note in notes] == [("owed", 2_000)]
    attack.saw(answer)


@pytest.mark.attacks("20 inflated usage")
@pytest.mark.parametrize("cost", [-1, 1.5, True, "700"])
def test_a_meter_that_speaks_nonsense_is_failed_work(attack: Attack, cost: object) -> None:
    buyer = attack.buyer()
    shop.costs.append(cost)

    answer = buyer.buy("/ask", {"n": 1})

    assert (answer.status_code, answer.json()["code"]) == (502, "paid_work_failed")
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount) == ("owed", 2_000)
    attack.saw(answer)
