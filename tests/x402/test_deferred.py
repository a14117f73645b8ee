"""`settle="deferred"`: answered on credit within limits, settled in a batch later, written off when dead (R27)."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command

from billing.domain import accounts
from billing.selectors import credit_notes
from billing.selectors.balances import balance_of
from tests.attacks.tools import newest_time, row_of, set_chain_clock_right, turn_chain_clock_past, until
from tests.x402 import work_first_urls
from tests.x402.buyer import Buyer, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from tests.x402.permit2_buyer import approve, permit_header
from x402.chain.network_settings import networks
from x402.models import Payment
from x402.services import exposure, sweeps

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.work_first_urls")]

NETWORK = "eip155:84532"
USDC = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"


@pytest.fixture(autouse=True)
def _quick(settings) -> Iterator[None]:
    """Answered work is settled at once, the newest block is final, and nothing is remembered of another test."""
    work_first_urls.costs.clear()
    work_first_urls.during_work.clear()
    facts = settings.LOA["NETWORKS"][NETWORK] | {"finality_tag": "latest"}
    before = settings.LOA
    settings.LOA = before | {"NETWORKS": {NETWORK: facts}, "DEFERRED_SETTLE_SECONDS": 0}
    networks.cache_clear()
    yield
    settings.LOA = before
    networks.cache_clear()


@pytest.fixture
def known(chain: LocalChain, new_buyer: Callable[[int], Buyer]) -> Buyer:
    """A wallet that has settled a payment before, so that it may be trusted with a little."""
    made = new_buyer(12_000)
    approve(chain, made)
    assert pay(made, "/metered").status_code == 200
    assert chain.balance_of(made.address) == 10_000
    return made


def pay(buyer: Buyer, path: str, changes: dict[str, str] | None = None, *, scheme: str = "upto") -> object:
    return buyer.ask(path, headers=permit_header(buyer, terms_of(buyer.ask(path)), changes, scheme=scheme))


def owed_by(buyer: Buyer) -> int:
    """What this wallet owes us. Units: MicroUSDC."""
    return -balance_of(accounts.receivable(buyer.address.lower()), USDC)


def settled(buyer: Buyer) -> bool:
    row = row_of(buyer)
    return row is not None and bool(row.transaction_hash) and row.state == "served"


@pytest.mark.parametrize(("path", "scheme", "left"), [("deferred", "upto", 9_300), ("deferred-exact", "exact", 8_000)])
def test_the_answer_leaves_at_once_and_the_money_follows(
    known: Buyer, chain: LocalChain, settings, path: str, scheme: str, left: int
) -> None:
    settings.LOA = settings.LOA | {"DEFERRED_SETTLE_SECONDS": 1}
    work_first_urls.costs[path.replace("-", "_")] = 700

    response = pay(known, f"/{path}", scheme=scheme)

    assert response.status_code == 200, response.content
    assert (receipt_of(response)["success"], receipt_of(response)["transaction"]) == (True, "")
    assert (row_of(known).state, row_of(known).work, owed_by(known)) == ("verified", "answered", 700)
    assert chain.balance_of(known.address) == 10_000
    until(lambda: settled(known))
    assert owed_by(known) == 0
    assert chain.balance_of(known.address) == left
    notes = [(note.kind, note.amount) for note in credit_notes.notes_of(known.address)]
    assert notes == ([] if scheme == "upto" else [("owed", 1_300)])
    call_command("ledger_verify")


def test_a_retry_gets_the_answer_before_and_after_the_money(known: Buyer) -> None:
    headers = permit_header(known, terms_of(known.ask("/deferred")), scheme="upto")
    first = known.ask("/deferred", headers=headers)

    retry = known.ask("/deferred", headers=headers)
    until(lambda: settled(known))
    late = known.ask("/deferred", headers=headers)

    assert [one.status_code for one in (first, retry, late)] == [200] * 3
    assert {one.content for one in (first, retry, late)} == {first.content}
    assert receipt_of(late)["transaction"] == row_of(known).transaction_hash


def test_a_wallet_that_never_settled_is_not_trusted_and_settles_before_its_answer(
    chain: LocalChain, new_buyer: Callable[[int], Buyer]
) -> None:
    stranger = new_buyer(10_000)
    approve(chain, stranger)
    everybody = exposure.outstanding()

    response = pay(stranger, "/deferred")

    assert response.status_code == 200
    row = row_of(stranger)
    assert (row.settle_order, row.exposure_micro_usdc, row.state) == ("after", 0, "served")
    assert receipt_of(response)["transaction"] == row.transaction_hash != ""
    assert exposure.outstanding() == everybody


def test_room_is_taken_for_the_maximum_kept_for_the_actual_and_given_back_when_final(known: Buyer, settings) -> None:
    settings.LOA = settings.LOA | {"DEFERRED_SETTLE_SECONDS": 2}
    work_first_urls.costs["deferred"] = 700
    wallet = known.address.lower()
    seen: list[int] = []
    work_first_urls.during_work.append(lambda: seen.append(exposure.outstanding(wallet)))

    pay(known, "/deferred")

    assert seen == [2_000]
    assert exposure.outstanding(wallet) == 700
    until(lambda: settled(known))
    assert exposure.outstanding(wallet) == 700
    sweeps.sweep_payments()
    assert exposure.outstanding(wallet) == 0


def test_many_at_once_never_take_more_than_the_wallets_limit(known: Buyer, chain: LocalChain, settings) -> None:
    settings.LOA = settings.LOA | {"DEFERRED_LIMIT_PER_WALLET_MICRO_USDC": 4_000, "DEFERRED_SETTLE_SECONDS": 3}
    chain.mint(known.address, 100_000)
    headers = [permit_header(known, terms_of(known.ask("/deferred")), scheme="upto") for _ in range(6)]
    seen: list[int] = []
    work_first_urls.during_work.append(lambda: seen.append(exposure.outstanding(known.address.lower())))

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda one: Buyer(known.private_key).ask("/deferred", headers=one), headers))

    assert [one.status_code for one in answers] == [200] * 6
    assert max(seen) <= 4_000
    orders = sorted(Payment.objects.filter(payer=known.address.lower()).values_list("settle_order", flat=True))
    assert orders.count("deferred") == 2


def test_what_can_never_be_paid_is_written_off_and_its_payer_keeps_the_answer(
    known: Buyer, chain: LocalChain, settings
) -> None:
    settings.LOA = settings.LOA | {"DEFERRED_SETTLE_SECONDS": 1}
    work_first_urls.costs["deferred"] = 700
    life = 40
    headers = permit_header(
        known, terms_of(known.ask("/deferred")), {"deadline": str(int(time.time()) + life)}, scheme="upto"
    )
    bad_debt = balance_of(accounts.BAD_DEBT, USDC)
    work_first_urls.during_work.append(lambda: chain.mint(known.address, 0))
    response = known.ask("/deferred", headers=headers)
    until(lambda: row_of(known).state == "settlement_unknown")

    turn_chain_clock_past(chain, max(newest_time(chain), int(time.time())) + life + 1)
    sweeps.sweep_payments()
    set_chain_clock_right(chain)

    assert response.status_code == 200
    assert (row_of(known).state, row_of(known).failure_code) == ("dead", "authorization_expired")
    assert (owed_by(known), balance_of(accounts.BAD_DEBT, USDC)) == (0, bad_debt - 700)
    assert known.ask("/deferred", headers=headers).content == response.content
    sweeps.sweep_payments()
    assert exposure.outstanding(known.address.lower()) == 0
    call_command("ledger_verify")
