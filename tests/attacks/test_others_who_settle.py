"""Rows 8, 14, 17 and 18: facilitators that lie, lists that steer, callers of our facilitator, relayers that race."""

import json
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from tests.attacks.score import NETWORK, Attack
from tests.attacks.test_duplicates import SITE, live_terms, patiently
from tests.faults.facilitator_proxy import FacilitatorProxy
from tests.faults.honest_facilitator import HonestFacilitator
from tests.faults.remote_tools import close_circuit
from tests.journeys.live_site import LiveSite
from tests.x402.buyer import Buyer, terms_of
from tests.x402.chain_tools import LocalChain
from tests.x402.test_facilitator_api import PRICE, body
from tests.x402.test_signed_statements import OFFER_TYPES, signer_of_statement
from x402.models import ChainTransaction, RemoteAttempt
from x402.services import discovery, settler

REMOTE = "x402.facilitators.remote.RemoteFacilitator"
DIRECT = "x402.facilitators.direct.DirectFacilitator"
LIES = {
    "success without a transaction": {"success": True, "transaction": ""},
    "success in a transaction that is not there": {"success": True, "transaction": "0x" + "5a" * 32},
    "failure before anything was tried": {"success": False, "errorReason": "insufficient_funds", "transaction": ""},
}
PAYERS = 12


@pytest.fixture
def liar(chain: LocalChain, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FacilitatorProxy]:
    """A facilitator whose words are ours to choose stands first, our relayer behind it."""
    with HonestFacilitator(chain) as honest, FacilitatorProxy(honest.url) as proxy:
        settings.LOA = settings.LOA | {
            "FACILITATORS": (REMOTE, DIRECT),
            "FACILITATOR_URL": proxy.url,
            "FACILITATOR_TIMEOUT_SECONDS": 2,
            "FACILITATOR_HANDOVER_SECONDS": 1,
        }
        monkeypatch.setattr(settler, "_settlers", {})
        close_circuit()
        yield proxy
        assert settler.rest()
        close_circuit()


def says(**facts: Any) -> Callable[[bytes], bytes]:
    return lambda _request: json.dumps({"network": NETWORK, **facts}).encode()


@pytest.mark.attacks("8 lying facilitator")
@pytest.mark.urls("tests.attacks.shop")
@pytest.mark.parametrize("lie", LIES)
def test_what_a_facilitator_says_serves_nothing_and_the_chain_decides(
    attack: Attack, liar: FacilitatorProxy, lie: str
) -> None:
    buyer = attack.buyer()
    liar.mode, liar.lie = "lie", says(**LIES[lie])

    answer = buyer.buy("/item/a")

    assert answer.status_code == 200, answer.content
    assert attack.chain.balance_of(buyer.address) == 990_000
    assert RemoteAttempt.objects.filter(payment__payer=buyer.address.lower()).count() == 1
    attack.saw(answer)


@pytest.mark.attacks("8 lying facilitator")
@pytest.mark.urls("tests.attacks.shop")
def test_a_liar_that_is_alone_gets_nothing_served_and_nothing_is_named_a_price_for_again(
    attack: Attack, liar: FacilitatorProxy, settings: Settings
) -> None:
    settings.LOA = settings.LOA | {"FACILITATORS": (REMOTE,), "WAIT_SECONDS": 2}
    buyer = attack.buyer()
    liar.mode, liar.lie = "lie", says(**LIES["success without a transaction"])

    answer = buyer.buy("/item/a")

    assert answer.status_code == 503
    assert not answer.has_header("PAYMENT-REQUIRED")
    assert attack.chain.balance_of(buyer.address) == 1_000_000
    attack.saw(answer)


@pytest.mark.attacks("14 discovery steering")
@pytest.mark.urls("tests.x402.discovery_urls")
def test_nobody_gets_into_our_list_and_our_offers_prove_whose_they_are(attack: Attack, settings: Settings) -> None:
    settings.LOA = settings.LOA | {"FACILITATOR_ANONYMOUS_PER_MINUTE": 1_000}
    discovery.listings.cache_clear()
    listed = Client().get("/facilitator/discovery/resources").json()["items"]
    buyer, elsewhere = attack.buyer(), Buyer("0x" + secrets.token_hex(32)).address
    document = body(buyer, elsewhere)
    bazaar = {"info": {"input": {"type": "http", "method": "GET"}}, "schema": {}}
    document["paymentPayload"] |= {
        "resource": {"url": "http://steering.example/best"},
        "extensions": {"bazaar": bazaar},
    }

    settled = Client().post("/facilitator/settle", document, content_type="application/json")
    written = Client().post("/facilitator/discovery/resources", document, content_type="application/json")
    [offer] = terms_of(buyer.ask("/fixed"))["extensions"]["offer-receipt"]["info"]["offers"]

    assert settled.json()["success"] is True, settled.content
    assert written.status_code == 405
    assert Client().get("/facilitator/discovery/resources").json()["items"] == listed
    published = Client().get("/.well-known/x402").json()
    assert signer_of_statement(offer, "x402 offer", OFFER_TYPES) in json.dumps(published)


@pytest.mark.attacks("17 duties of a facilitator")
def test_eight_settles_of_one_payment_are_one_transfer_and_one_answer(attack: Attack, settings: Settings) -> None:
    settings.LOA = settings.LOA | {"FACILITATOR_ANONYMOUS_PER_MINUTE": 1_000}
    seller = Buyer("0x" + secrets.token_hex(32)).address
    document = body(attack.buyer(), seller)

    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda _: Client().post("/facilitator/settle", document, content_type="application/json").json(),
                range(8),
            )
        )

    assert {answer["success"] for answer in answers} == {True}, answers
    assert len({answer["transaction"] for answer in answers}) == 1
    assert attack.chain.balance_of(seller) == PRICE


@pytest.mark.attacks("18 relayers that race")
@pytest.mark.slow
def test_two_processes_with_one_relayer_key_share_its_nonces_and_no_payment_fails(
    attack: Attack, tmp_path: Path
) -> None:
    buyers, runs = [attack.buyer() for _ in range(PAYERS)], tmp_path / "runs"
    newest = ChainTransaction.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    with ExitStack() as sites:
        both = [sites.enter_context(LiveSite(SITE | {"SHOP_RUNS": str(runs)})) for _ in range(2)]
        headers = [
            {"PAYMENT-SIGNATURE": buyer.v2_header(live_terms(both[0].ask("GET", "/item/a")))} for buyer in buyers
        ]
        with ThreadPoolExecutor(PAYERS) as threads:
            answers = list(threads.map(lambda n: patiently(both[n % 2], headers[n], path="/item/a"), range(PAYERS)))

    attack.other_runs += runs.read_text().split()
    assert [answer.status for answer in answers] == [200] * PAYERS
    sent = ChainTransaction.objects.filter(pk__gt=newest, attempts__payment__payer__in=attack.wallets).distinct()
    nonces = sorted(one.nonce for one in sent)
    assert nonces == list(range(nonces[0], nonces[0] + len(nonces)))
    assert {one.succeeded for one in sent} == {True}
    attack.saw(*answers)
