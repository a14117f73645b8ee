"""`exact` by Permit2 on real services: approved once, signed per call, carried by our relayer in the common batch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings

import contracts
from tests.attacks.tools import RelayerHold, in_background, row_of, until
from tests.x402 import paid_urls
from tests.x402.buyer import Buyer, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from tests.x402.permit2_buyer import EXACT_PROXY, PERMIT2, approve, offer_of, permit_header
from x402.facilitators.due_payments import GAS_PER_PERMIT2
from x402.models import ChainTransaction, ConsumedLog, Payment, SettlementAttempt
from x402.services import settler

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]

TRANSACTION_GAS = 21_000


@pytest.fixture
def approved(chain: LocalChain, new_buyer: Callable[[int], Buyer]) -> Callable[[int], Buyer]:
    """A new wallet that has approved Permit2."""

    def make(balance_micro_usdc: int = 1_000_000) -> Buyer:
        made = new_buyer(balance_micro_usdc)
        approve(chain, made)
        return made

    return make


@pytest.fixture
def hold(transactional_db: None) -> RelayerHold:
    holding = RelayerHold(settings.DATABASES["default"])
    yield holding
    holding.let_go()


def pay_to() -> str:
    return str(settings.LOA["NETWORKS"]["eip155:84532"]["pay_to"])


def test_both_ways_of_an_exact_payment_are_offered_and_version_1_sees_the_one_it_can_pay(buyer: Buyer) -> None:
    response = buyer.ask("/fixed")

    offers = terms_of(response)["accepts"]
    assert [offer["extra"].get("assetTransferMethod", "eip3009") for offer in offers] == ["eip3009", "permit2"]
    assert {offer["amount"] for offer in offers} == {"10000"}
    assert len(response.json()["accepts"]) == 1
    assert len(response["PAYMENT-REQUIRED"]) <= 4096


def test_a_permit_pays_for_a_call_and_the_row_says_which_log_paid(
    approved: Callable[[int], Buyer], chain: LocalChain
) -> None:
    buyer = approved(50_000)
    before = chain.balance_of(pay_to())

    response = buyer.ask("/fixed", headers=permit_header(buyer, terms_of(buyer.ask("/fixed"))))

    assert response.status_code == 200, response.content
    assert chain.balance_of(pay_to()) == before + 10_000
    assert chain.balance_of(buyer.address) == 40_000
    payment = Payment.objects.get(pk=receipt_of(response)["extensions"]["loa"]["payment_id"])
    assert (payment.state, payment.method, payment.scheme) == ("served", "permit2", "exact")
    assert payment.verifying_contract == PERMIT2.lower()
    receipt = chain.call("eth_getTransactionReceipt", payment.transaction_hash)
    [transfer] = [log for log in receipt["logs"] if log["address"] == contracts.USDC_ADDRESS.lower()]
    assert int(transfer["logIndex"], 16) == payment.log_index
    assert receipt["to"] == EXACT_PROXY.lower()
    # What a batch reserves for such a call is what its first use really takes, with the transaction around it left out.
    assert int(receipt["gasUsed"], 16) - TRANSACTION_GAS < GAS_PER_PERMIT2


def test_the_payers_retry_of_a_permit_gets_the_stored_answer_for_nothing(approved: Callable[[int], Buyer]) -> None:
    buyer = approved(50_000)
    headers = permit_header(buyer, terms_of(buyer.ask("/metered", {"n": 1})))
    first = buyer.ask("/metered", {"n": 1}, headers)

    retry = buyer.ask("/metered", {"n": 1}, headers)

    assert (retry.status_code, retry.content) == (200, first.content)
    assert paid_urls.runs["metered"] == 1


def test_a_permit_without_approval_is_told_to_approve_and_writes_nothing(buyer: Buyer) -> None:
    response = buyer.ask("/fixed", headers=permit_header(buyer, terms_of(buyer.ask("/fixed"))))

    assert (response.status_code, response.json()["code"]) == (402, "permit2_allowance_required")
    assert offer_of(terms_of(response), scheme="exact")["amount"] == "10000"
    assert row_of(buyer) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": "9999"}, "permit2_amount_mismatch"),
        ({"to": "0x" + "11" * 20}, "invalid_permit2_recipient_mismatch"),
        ({"token": "0x" + "22" * 20}, "permit2_token_mismatch"),
        ({"spender": "0x" + "33" * 20}, "invalid_permit2_spender"),
        ({"deadline": "1000"}, "permit2_deadline_expired"),
        ({"validAfter": str(2**40)}, "permit2_not_yet_valid"),
        ({"deadline": str(2**40)}, "invalid_exact_evm_payload_authorization_valid_before"),
    ],
)
def test_a_permit_that_says_something_else_is_refused_with_fresh_terms(
    approved: Callable[[int], Buyer], changes: dict[str, str], reason: str
) -> None:
    buyer = approved(50_000)

    response = buyer.ask("/fixed", headers=permit_header(buyer, terms_of(buyer.ask("/fixed")), changes))

    assert (response.status_code, response.json()["code"]) == (402, reason)
    assert terms_of(response)["accepts"]
    assert row_of(buyer) is None


def test_permits_and_authorizations_share_one_transaction_each_with_its_own_log(
    approved: Callable[[int], Buyer], buyer: Buyer, hold: RelayerHold
) -> None:
    assert buyer.buy("/fixed").status_code == 200
    assert settler.rest()  # the key has to be taken anew, which waits until all four are there
    buyers = [approved(50_000) for _ in range(4)]
    terms = terms_of(buyers[0].ask("/fixed"))
    wanted = [(one, permit_header(one, terms)) for one in buyers[:2]]
    wanted += [(one, {"PAYMENT-SIGNATURE": one.v2_header(terms)}) for one in buyers[2:]]
    hold.take()

    answers = [
        in_background(lambda one=one, headers=headers: one.ask("/fixed", headers=headers)) for one, headers in wanted
    ]
    until(lambda: all(row_of(one) is not None for one in buyers))
    hold.let_go()

    assert [answer.result(30).status_code for answer in answers] == [200] * 4
    rows = [row_of(one) for one in buyers]
    assert len({row.transaction_hash for row in rows}) == 1
    assert ChainTransaction.objects.get(transaction_hash=rows[0].transaction_hash).payment_count == 4
    assert len({row.log_index for row in rows}) == 4


def test_two_permits_that_look_the_same_on_the_chain_travel_apart(
    approved: Callable[[int], Buyer], buyer: Buyer, hold: RelayerHold
) -> None:
    assert buyer.buy("/fixed").status_code == 200
    payer = approved(50_000)
    headers = [permit_header(payer, terms_of(payer.ask("/fixed"))) for _ in range(2)]
    hold.take()

    answers = [in_background(lambda one=one: Buyer(payer.private_key).ask("/fixed", headers=one)) for one in headers]
    until(lambda: Payment.objects.filter(payer=payer.address.lower()).count() == 2)
    hold.let_go()

    assert [answer.result(30).status_code for answer in answers] == [200, 200]
    rows = list(Payment.objects.filter(payer=payer.address.lower()))
    assert len({row.transaction_hash for row in rows}) == 2
    assert ConsumedLog.objects.filter(beneficiary__in=[row.pk for row in rows]).count() == 2


def test_eight_copies_of_one_permit_are_one_charge_and_one_run(
    approved: Callable[[int], Buyer], chain: LocalChain
) -> None:
    payer = approved(50_000)
    headers = permit_header(payer, terms_of(payer.ask("/metered", {"n": 8})))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: Buyer(payer.private_key).ask("/metered", {"n": 8}, headers), range(8)))

    assert [answer.status_code for answer in answers] == [200] * 8
    assert paid_urls.runs["metered"] == 1
    assert chain.balance_of(payer.address) == 48_000
    assert SettlementAttempt.objects.filter(payment=row_of(payer)).count() == 1
