"""Two chains and two tokens: all are offered, each is paid where it was signed for and booked under its own name."""

from collections.abc import Iterator
from typing import Any

import pytest

import contracts
from billing.domain import accounts
from billing.selectors.balances import balance_of
from loa_site.local import genesis, ports
from loa_site.local.chain import Chain
from tests.x402.buyer import Buyer, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from tests.x402.permit2_buyer import approve, permit_header
from x402.chain.network_settings import networks
from x402.models import ChainTransaction, Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]

FIRST, SECOND = "eip155:84532", "eip155:8453"
OTHER_TOKEN = "0x5555555555555555555555555555555555555555"


@pytest.fixture(scope="module")
def second_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChain]:
    """Another chain of its own id, prepared like the first; one for all, since a process asks one node per network."""
    started = Chain(tmp_path_factory.mktemp("chain"), ports.free_port(), chain_id=8453)
    started.start()
    yield LocalChain(started.url)
    started.stop()


@pytest.fixture
def both(second_chain: LocalChain, settings) -> Iterator[LocalChain]:
    """A site that takes the same token on both chains."""
    facts = settings.LOA["NETWORKS"][FIRST] | {"rpc_urls": (second_chain.url,), "v1_name": "base"}
    before = settings.LOA
    settings.LOA = before | {"NETWORKS": {SECOND: facts, **before["NETWORKS"]}}
    networks.cache_clear()
    yield second_chain
    settings.LOA = before
    networks.cache_clear()


@pytest.fixture
def two_tokens(chain: LocalChain, settings) -> Iterator[str]:
    """A site that takes a second token, which only Permit2 can move."""
    chain.call("anvil_setCode", OTHER_TOKEN, contracts.load("LocalUSDC").runtime)
    facts = settings.LOA["NETWORKS"][FIRST]
    other = dict(facts["assets"]["usdc"]) | {"address": OTHER_TOKEN, "transfer_methods": ["permit2"]}
    before = settings.LOA
    settings.LOA = before | {"NETWORKS": {FIRST: facts | {"assets": {**facts["assets"], "other": other}}}}
    networks.cache_clear()
    yield OTHER_TOKEN
    settings.LOA = before
    networks.cache_clear()


def treasury(network: str, asset: str) -> int:
    """What the books say we received of this token there. Units: MicroUSDC."""
    pay_to = networks()[network].pay_to
    denomination = accounts.token_denomination(network=network, asset_address=asset)
    return -balance_of(accounts.treasury(network=network, asset_address=asset, pay_to=pay_to), denomination)


def test_both_chains_are_offered_with_the_sites_own_first_and_in_both_versions(buyer: Buyer, both: LocalChain) -> None:
    response = buyer.ask("/fixed")

    offered = [offer["network"] for offer in terms_of(response)["accepts"]]
    assert offered == [FIRST, FIRST, SECOND, SECOND]
    assert [offer["network"] for offer in response.json()["accepts"]] == ["base-sepolia", "base"]


def test_a_payment_is_settled_and_booked_on_the_chain_it_was_signed_for(
    buyer: Buyer, chain: LocalChain, both: LocalChain
) -> None:
    both.mint(buyer.address, 50_000)
    asset = contracts.USDC_ADDRESS
    before = {network: treasury(network, asset) for network in (FIRST, SECOND)}
    terms = terms_of(buyer.ask("/fixed"))
    [offer, _] = [one for one in terms["accepts"] if one["network"] == SECOND]

    there = buyer.ask("/fixed", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms, offer=offer)})
    here = buyer.ask("/fixed", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms)})

    assert (there.status_code, here.status_code) == (200, 200)
    assert receipt_of(there)["network"] == SECOND
    assert (both.balance_of(buyer.address), chain.balance_of(buyer.address)) == (40_000, 990_000)
    assert {network: treasury(network, asset) - before[network] for network in before} == {
        FIRST: 10_000,
        SECOND: 10_000,
    }
    payment = Payment.objects.get(payer=buyer.address.lower(), network=SECOND)
    assert ChainTransaction.objects.get(transaction_hash=payment.transaction_hash).network == SECOND


def test_one_nonce_on_two_chains_is_two_payments(buyer: Buyer, both: LocalChain) -> None:
    both.mint(buyer.address, 50_000)
    terms = terms_of(buyer.ask("/fixed"))
    nonce = {"nonce": "0x" + "07" * 32}
    offers = [one for one in terms["accepts"] if "assetTransferMethod" not in one["extra"]]

    answers = [
        buyer.ask("/fixed", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms, nonce, offer=offer)})
        for offer in offers
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert Payment.objects.filter(payer=buyer.address.lower(), state="served").count() == 2


def test_a_token_without_authorizations_is_offered_and_paid_by_permit2_alone(
    buyer: Buyer, chain: LocalChain, two_tokens: str
) -> None:
    slot = genesis.mapping_slot(buyer.address, contracts.load("LocalUSDC").storage_slots["balanceOf"])
    chain.call("anvil_setStorageAt", two_tokens, slot, genesis.word(30_000))
    approve(chain, buyer, asset=two_tokens)
    terms = terms_of(buyer.ask("/fixed"))
    mine: list[dict[str, Any]] = [one for one in terms["accepts"] if one["asset"] == two_tokens]
    before = treasury(FIRST, two_tokens)

    answer = buyer.ask("/fixed", headers=permit_header(buyer, terms | {"accepts": mine}))

    assert [one["extra"]["assetTransferMethod"] for one in mine] == ["permit2"]
    assert answer.status_code == 200, answer.content
    assert treasury(FIRST, two_tokens) - before == 10_000
    assert chain.balance_of(buyer.address) == 1_000_000
