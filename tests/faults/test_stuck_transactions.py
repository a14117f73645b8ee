"""Row 51: a transaction that is not mined is replaced, followed, or given up; later ones never wait behind it."""

import itertools
import secrets
import time
from collections.abc import Iterator

import pytest
from django.conf import settings as site
from django.db.models import QuerySet
from django.test import Client
from pytest_django.fixtures import Settings

from loa_site.local import wallets
from tests.attacks.score import require_balanced_books
from tests.attacks.tools import in_background, until
from tests.x402.buyer import Buyer, terms_of
from tests.x402.chain_tools import LocalChain
from x402.chain.network_settings import networks
from x402.facilitators.stuck_transactions import Case, case_of
from x402.models import ChainTransaction, Payment, SettlementAttempt
from x402.services import settler

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]

NETWORK = "eip155:84532"


@pytest.fixture
def chain() -> LocalChain:
    return LocalChain(site.LOA["NETWORKS"][NETWORK]["rpc_urls"][0])


@pytest.fixture
def buyer(chain: LocalChain) -> Buyer:
    made = Buyer("0x" + secrets.token_hex(32), Client())
    chain.mint(made.address, 1_000_000)
    return made


@pytest.fixture(autouse=True)
def quick_blocks(settings: Settings, chain: LocalChain, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A chain of quick blocks, so that five of them are not ten seconds; mining is by hand where a test says so."""
    facts = settings.LOA["NETWORKS"][NETWORK] | {"block_seconds": 0.2}
    before, settings.LOA = settings.LOA, settings.LOA | {"NETWORKS": {NETWORK: facts}, "WAIT_SECONDS": 20}
    networks.cache_clear()
    monkeypatch.setattr(settler, "_settlers", {})
    yield
    chain.call("evm_setAutomine", True)
    chain.mine()
    assert settler.rest()
    settings.LOA = before
    networks.cache_clear()
    require_balanced_books()


def sent_for(buyer: Buyer) -> QuerySet[ChainTransaction]:
    """Every transaction that ever carried this wallet's payment."""
    return ChainTransaction.objects.filter(attempts__payment__payer=buyer.address.lower())


def test_a_transaction_that_is_not_mined_is_offered_again_with_higher_fees(chain: LocalChain, buyer: Buyer) -> None:
    header = buyer.v2_header(terms_of(buyer.ask("/fixed")))
    chain.call("evm_setAutomine", False)

    answer = in_background(lambda: buyer.ask("/fixed", headers={"PAYMENT-SIGNATURE": header}))
    until(lambda: sent_for(buyer).filter(replaces__isnull=False).exists())
    chain.call("evm_setAutomine", True)
    chain.mine()

    assert answer.result(20).status_code == 200
    versions = list(sent_for(buyer).order_by("pk"))
    assert len({one.nonce for one in versions}) == 1
    fees = [one.max_fee_per_gas_wei for one in versions]
    assert all(later * 100 >= earlier * 110 for earlier, later in itertools.pairwise(fees))
    assert chain.balance_of(buyer.address) == 1_000_000 - 10_000
    assert Payment.objects.get(payer=buyer.address.lower()).transaction_hash in {
        one.transaction_hash for one in versions
    }


def test_no_fee_goes_above_the_ceiling_however_long_it_waits(
    chain: LocalChain, buyer: Buyer, settings: Settings
) -> None:
    header = buyer.v2_header(terms_of(buyer.ask("/fixed")))
    chain.call("evm_setAutomine", False)
    base_fee = int(chain.call("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    settings.LOA = settings.LOA | {"RELAYER_FEE_CEILING_WEI": base_fee * 2 + 3 * 10**9}

    answer = in_background(lambda: buyer.ask("/fixed", headers={"PAYMENT-SIGNATURE": header}))
    time.sleep(4)
    chain.call("evm_setAutomine", True)
    chain.mine()

    assert answer.result(20).status_code == 200
    offered = sent_for(buyer)
    assert all(one.max_fee_per_gas_wei <= base_fee * 2 + 3 * 10**9 for one in offered)


def test_a_dropped_transaction_is_sent_again_and_the_next_payments_do_not_wait(chain: LocalChain, buyer: Buyer) -> None:
    """The node loses a transaction it took: the same bytes are offered again."""
    header = buyer.v2_header(terms_of(buyer.ask("/fixed")))
    chain.call("evm_setAutomine", False)

    answer = in_background(lambda: buyer.ask("/fixed", headers={"PAYMENT-SIGNATURE": header}))
    until(lambda: SettlementAttempt.objects.filter(payment__payer=buyer.address.lower()).exists())
    chain.call("anvil_dropAllTransactions")
    chain.call("evm_setAutomine", True)

    assert answer.result(20).status_code == 200
    assert chain.balance_of(buyer.address) == 1_000_000 - 10_000


def test_a_nonce_that_somebody_else_used_leaves_the_payment_to_be_sent_again(
    chain: LocalChain, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key was used outside this service between two payments: the node refuses ours for good."""
    monkeypatch.setattr(settler, "LINGER_SECONDS", 10.0)  # the leader keeps the nonce it expects
    assert buyer.buy("/fixed").status_code == 200
    header = buyer.v2_header(terms_of(buyer.ask("/fixed")))
    chain.send_from(wallets.relayer().private_key, buyer.address, "0x")

    first = buyer.ask("/fixed", headers={"PAYMENT-SIGNATURE": header})
    again = buyer.ask("/fixed", headers={"PAYMENT-SIGNATURE": header})

    assert (first.status_code, first.json()["code"]) == (503, "settlement_unknown")
    assert again.status_code == 200, again.content
    assert chain.balance_of(buyer.address) == 1_000_000 - 2 * 10_000


@pytest.mark.parametrize(
    ("on_chain", "lowest", "case"),
    [(5, 5, Case.WAITING), (4, 5, Case.VANISHED_BEFORE), (6, 5, Case.REPLACED)],
)
def test_the_chains_count_says_why_a_transaction_is_not_mined(on_chain: int, lowest: int, case: Case) -> None:
    assert case_of(on_chain=on_chain, lowest=lowest) is case
