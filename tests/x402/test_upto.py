"""`upto` with `settle="after"` on real services: the work says its cost, that is settled, then the answer leaves."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from billing.selectors import credit_notes
from loa_site.local import wallets
from tests.attacks.tools import RelayerHold, row_of, until
from tests.x402 import work_first_urls
from tests.x402.buyer import Buyer, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from tests.x402.permit2_buyer import UPTO_PROXY, approve, offer_of, permit_header
from x402.chain.transactions import Signer
from x402.models import ChainTransaction, Payment, SettlementAttempt, StoredAnswer
from x402.services import sweeps

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.work_first_urls")]


@pytest.fixture(autouse=True)
def _quiet_views() -> Iterator[None]:
    """Nothing is remembered of another test's views."""
    work_first_urls.runs.clear()
    work_first_urls.costs.clear()
    work_first_urls.during_work.clear()
    work_first_urls.gate.set()
    yield
    work_first_urls.during_work.clear()
    work_first_urls.gate.set()


@pytest.fixture
def payer(chain: LocalChain, new_buyer: Callable[[int], Buyer]) -> Buyer:
    """A wallet with ten thousandths that has approved Permit2."""
    made = new_buyer(10_000)
    approve(chain, made)
    return made


def pay_to() -> str:
    return str(settings.LOA["NETWORKS"]["eip155:84532"]["pay_to"])


def upto(buyer: Buyer, path: str, changes: dict[str, str] | None = None) -> dict[str, str]:
    return permit_header(buyer, terms_of(buyer.ask(path)), changes, scheme="upto")


def test_an_upto_endpoint_offers_three_ways_to_pay_in_a_short_header(buyer: Buyer) -> None:
    response = buyer.ask("/metered")

    terms = terms_of(response)
    offers = [(one["scheme"], one["extra"].get("assetTransferMethod", "eip3009")) for one in terms["accepts"]]
    assert offers == [("upto", "permit2"), ("exact", "eip3009"), ("exact", "permit2")]
    assert terms["accepts"][0]["extra"]["facilitatorAddress"].startswith("0x")
    assert len(response["PAYMENT-REQUIRED"]) <= 4096
    assert [one["scheme"] for one in response.json()["accepts"]] == ["exact"]


def test_only_what_the_work_cost_is_settled(payer: Buyer, chain: LocalChain) -> None:
    work_first_urls.costs["metered"] = 700
    before = chain.balance_of(pay_to())

    response = payer.ask("/metered", headers=upto(payer, "/metered"))

    assert response.status_code == 200, response.content
    assert response.json() == {"did": "metered", "maximum": 2_000}
    assert (chain.balance_of(payer.address), chain.balance_of(pay_to())) == (9_300, before + 700)
    receipt = receipt_of(response)
    assert (receipt["success"], receipt["amount"]) == (True, "700")
    row = row_of(payer)
    assert (row.state, row.scheme, row.actual_micro_usdc, row.charged_micro_usdc) == ("served", "upto", 700, 700)
    assert chain.call("eth_getTransactionByHash", row.transaction_hash)["to"] == UPTO_PROXY.lower()
    assert credit_notes.notes_of(payer.address) == []


def test_work_that_cost_nothing_is_answered_without_a_transaction(payer: Buyer, chain: LocalChain) -> None:
    work_first_urls.costs["metered"] = 0
    headers = upto(payer, "/metered")

    first, retry = payer.ask("/metered", headers=headers), payer.ask("/metered", headers=headers)

    assert (first.status_code, retry.status_code, retry.content) == (200, 200, first.content)
    receipt = receipt_of(first)
    assert (receipt["success"], receipt["transaction"], receipt["amount"]) == (True, "", "0")
    assert row_of(payer).state == "served"
    assert SettlementAttempt.objects.filter(payment=row_of(payer)).count() == 0
    assert chain.balance_of(payer.address) == 10_000
    assert work_first_urls.runs["metered"] == 1


def test_work_that_fails_takes_nothing_and_its_retry_gets_the_same_answer(payer: Buyer, chain: LocalChain) -> None:
    headers = upto(payer, "/failing")

    answers = [payer.ask("/failing", headers=headers) for _ in range(2)]

    assert [(one.status_code, one.json()["code"]) for one in answers] == [(502, "paid_work_failed")] * 2
    assert receipt_of(answers[0])["success"] is False
    assert chain.balance_of(payer.address) == 10_000
    assert (row_of(payer).state, row_of(payer).work) == ("verified", "failed")
    assert work_first_urls.runs["failing"] == 1


@pytest.mark.parametrize("path", ["metered", "unbound"])
def test_copies_of_one_payment_are_one_run_and_one_charge(payer: Buyer, chain: LocalChain, path: str) -> None:
    work_first_urls.costs[path] = 700
    headers = upto(payer, f"/{path}")

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: Buyer(payer.private_key).ask(f"/{path}", headers=headers), range(6)))

    assert [one.status_code for one in answers] == [200] * 6
    assert {one.content for one in answers} == {answers[0].content}
    assert work_first_urls.runs[path] == 1
    assert chain.balance_of(payer.address) == 9_300


def test_an_allowance_taken_back_during_the_work_releases_nothing(payer: Buyer, chain: LocalChain) -> None:
    headers = upto(payer, "/metered")
    work_first_urls.during_work.append(lambda: approve(chain, payer, 0))

    answers = [payer.ask("/metered", headers=headers) for _ in range(2)]

    assert [(one.status_code, one.json()["code"]) for one in answers] == [(402, "permit2_allowance_required")] * 2
    assert offer_of(terms_of(answers[1]), scheme="upto")["amount"] == "2000"
    assert all("did" not in one.json() for one in answers)
    assert StoredAnswer.objects.filter(payment=row_of(payer)).count() == 0
    assert work_first_urls.runs["metered"] == 1


def test_a_balance_that_covers_one_maximum_lets_one_of_many_work(payer: Buyer, chain: LocalChain) -> None:
    chain.mint(payer.address, 3_000)
    headers = [upto(payer, "/metered") for _ in range(5)]
    work_first_urls.gate.clear()

    with ThreadPoolExecutor(5) as threads:
        pending = [threads.submit(Buyer(payer.private_key).ask, "/metered", None, one) for one in headers]
        refused = [one for one in pending if _ended(one)]
        work_first_urls.gate.set()
        answers = [one.result(30) for one in pending]

    assert sorted(one.status_code for one in answers) == [200, 402, 402, 402, 402]
    assert {one.json()["code"] for one in answers if one.status_code == 402} == {"insufficient_funds"}
    assert len(refused) == 4
    assert work_first_urls.runs["metered"] == 1
    assert chain.balance_of(payer.address) == 1_000


def _ended(future: object) -> bool:
    try:
        future.result(5)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("facilitator", ["0x" + "44" * 20, "0xcA11bde05977b3631167028862bE2a173976CA11"])
def test_a_permit_that_others_could_settle_is_refused(payer: Buyer, facilitator: str) -> None:
    response = payer.ask("/metered", headers=upto(payer, "/metered", {"facilitator": facilitator}))

    assert (response.status_code, response.json()["code"]) == (402, "upto_facilitator_mismatch")
    assert row_of(payer) is None


def test_the_handlers_transaction_is_kept_when_the_money_came(payer: Buyer) -> None:
    name = f"kept-{payer.address}"

    response = payer.ask(f"/writing?name={name}", headers=upto(payer, f"/writing?name={name}"))

    assert response.status_code == 200, response.content
    assert Group.objects.filter(name=name).exists()


def test_the_handlers_transaction_is_undone_when_the_payer_cannot_pay(payer: Buyer, chain: LocalChain) -> None:
    name = f"undone-{payer.address}"
    headers = upto(payer, f"/writing?name={name}")
    work_first_urls.during_work.append(lambda: chain.mint(payer.address, 0))

    response = payer.ask(f"/writing?name={name}", headers=headers)

    assert (response.status_code, response.json()["code"]) == (402, "insufficient_funds")
    assert not Group.objects.filter(name=name).exists()


def test_an_exact_payment_on_an_upto_endpoint_gets_its_change(payer: Buyer, chain: LocalChain) -> None:
    work_first_urls.costs["metered"] = 700
    terms = terms_of(payer.ask("/metered"))

    response = payer.ask("/metered", headers=permit_header(payer, terms, scheme="exact"))

    assert response.status_code == 200, response.content
    assert chain.balance_of(payer.address) == 8_000
    [note] = credit_notes.notes_of(payer.address)
    assert (note.kind, note.amount) == ("change", 1_300)


@pytest.fixture
def hold(transactional_db: None) -> Iterator[RelayerHold]:
    """The relayer's key, held back from every process."""
    holding = RelayerHold(settings.DATABASES["default"])
    yield holding
    holding.let_go()


def test_what_could_not_be_sent_in_time_is_never_taken(
    payer: Buyer, chain: LocalChain, hold: RelayerHold, settings
) -> None:
    assert payer.ask("/metered", headers=upto(payer, "/metered")).status_code == 200
    settings.LOA = settings.LOA | {"AFTER_COMMIT_SECONDS": 1, "WAIT_SECONDS": 2}
    name = f"unsent-{payer.address}"
    headers = upto(payer, f"/writing?name={name}")
    hold.take()

    late = payer.ask(f"/writing?name={name}", headers=headers)
    hold.let_go()
    retry = payer.ask(f"/writing?name={name}", headers=headers)

    assert [(one.status_code, one.json()["code"]) for one in (late, retry)] == [(502, "settlement_too_slow")] * 2
    assert not Group.objects.filter(name=name).exists()
    assert chain.balance_of(payer.address) == 8_000
    assert SettlementAttempt.objects.filter(payment=row_of(payer)).count() == 0


def test_money_that_comes_too_late_for_the_handlers_transaction_is_owed(
    payer: Buyer, chain: LocalChain, settings
) -> None:
    settings.LOA = settings.LOA | {"AFTER_COMMIT_SECONDS": 1, "WAIT_SECONDS": 2}
    name = f"late-{payer.address}"
    headers = upto(payer, f"/writing?name={name}")
    chain.call("evm_setAutomine", False)
    try:
        late = payer.ask(f"/writing?name={name}", headers=headers)
    finally:
        chain.call("evm_setAutomine", True)
        chain.mine()

    until(lambda: sweeps.sweep_payments() and row_of(payer).state == "credited")
    retry = payer.ask(f"/writing?name={name}", headers=headers)

    assert (late.status_code, "did" in late.json()) == (503, False)
    assert not Group.objects.filter(name=name).exists()
    assert (retry.status_code, retry.json()["code"]) == (502, "settlement_too_slow")
    [note] = credit_notes.notes_of(payer.address)
    assert (note.kind, note.amount, note.expires_at) == ("owed", 2_000, None)
    assert row_of(payer).charged_micro_usdc == 0
    assert work_first_urls.runs["writing"] == 1


def test_what_held_up_a_settlement_is_not_told_as_the_reason_why_its_work_was_given_back(
    payer: Buyer, chain: LocalChain, settings
) -> None:
    settings.LOA = settings.LOA | {"AFTER_COMMIT_SECONDS": 1, "WAIT_SECONDS": 2}
    headers = upto(payer, f"/writing?name=held-{payer.address}")
    chain.call("evm_setAutomine", False)
    try:
        payer.ask(f"/writing?name=held-{payer.address}", headers=headers)
        Payment.objects.filter(pk=row_of(payer).pk, state="settling").update(lease_until=timezone.now())
        sweeps.sweep_payments()
        held_up = row_of(payer).failure_code
    finally:
        chain.call("evm_setAutomine", True)
        chain.mine()

    until(lambda: sweeps.sweep_payments() and row_of(payer).state == "credited")
    retry = payer.ask(f"/writing?name=held-{payer.address}", headers=headers)

    assert held_up == "settlement_pending"
    assert (retry.status_code, retry.json()["code"]) == (502, "settlement_too_slow")


def test_a_commit_that_fails_after_the_money_came_is_owed(payer: Buyer, chain: LocalChain) -> None:
    headers = upto(payer, "/metered")

    def break_at_commit() -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP")
            cursor.execute("INSERT INTO late VALUES (1), (1)")

    work_first_urls.during_work.append(break_at_commit)

    response = payer.ask("/metered", headers=headers)

    assert (response.status_code, response.json()["code"]) == (502, "paid_work_failed")
    assert (row_of(payer).state, chain.balance_of(payer.address)) == ("credited", 8_000)
    [note] = credit_notes.notes_of(payer.address)
    assert (note.kind, note.amount) == ("owed", 2_000)


def test_a_permit_signed_for_a_retired_key_is_settled_by_that_key(payer: Buyer, settings) -> None:
    headers = upto(payer, "/metered")
    old = settings.LOA["RELAYER_PRIVATE_KEY"]
    young = wallets.wallet("next relayer")
    LocalChain(settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0]).call(
        "anvil_setBalance", young.address, hex(10**18)
    )
    settings.LOA = settings.LOA | {"RELAYER_PRIVATE_KEY": young.private_key, "RELAYER_RETIRED_KEYS": [old]}

    response = payer.ask("/metered", headers=headers)

    assert response.status_code == 200, response.content
    row = row_of(payer)
    assert row.facilitator == Signer(old).address.lower()
    assert ChainTransaction.objects.get(transaction_hash=row.transaction_hash).relayer == row.facilitator
    offer = offer_of(terms_of(payer.ask("/metered")), scheme="upto")
    assert offer["extra"]["facilitatorAddress"] == young.address
