"""Rules R19 and R20: everything that can change between the terms, the payment and the retry."""

import time
from dataclasses import dataclass, field

import pytest
from django.conf import settings as site
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from tests.attacks import shop
from tests.attacks.score import NETWORK, Attack
from tests.attacks.tools import v2_of
from tests.x402.buyer import decoded, terms_of
from x402.chain.network_settings import networks
from x402.models import Payment
from x402.paywall import requires_payment
from x402.pricing import PricedRequest, Quotation
from x402.protocol import quote_token
from x402.protocol.errors import UnpriceableRequest

pytestmark = pytest.mark.urls(__name__)


@dataclass
class Shelf:
    """A price with versions: the last one is current, revoked ones sell nothing, and the shelf may be closed."""

    versions: list[int] = field(default_factory=lambda: [5_000])
    revoked: set[int] = field(default_factory=set)
    is_closed: bool = False

    def maximum(self, request: PricedRequest) -> Quotation:
        if self.is_closed:
            raise UnpriceableRequest("unknown_model", "Nothing is sold here any more.")
        version = max(number for number in range(len(self.versions)) if number not in self.revoked)
        return Quotation(max_cost_micro_usdc=self.versions[version], price_version=version, description="")

    def maximum_at(self, request: PricedRequest, price_version: int) -> Quotation | None:
        if price_version >= len(self.versions) or price_version in self.revoked:
            return None
        return Quotation(max_cost_micro_usdc=self.versions[price_version], price_version=price_version, description="")


shelf = Shelf()


@requires_payment(price=shelf)
def shelved(request: HttpRequest) -> HttpResponse:
    shop.runs[request.x402.payment_id] += 1
    return JsonResponse({"sold": True, "payment_id": request.x402.payment_id})


urlpatterns = [*shop.urlpatterns, path("shelved", shelved)]


@pytest.fixture(autouse=True)
def _fresh_shelf():
    shelf.versions[:] = [5_000]
    shelf.revoked.clear()
    shelf.is_closed = False


def raise_price(settings, monkeypatch) -> None:
    shelf.versions.append(9_000)


def revoke_price(settings, monkeypatch) -> None:
    shelf.versions.append(9_000)
    shelf.revoked.add(0)


def close_shelf(settings, monkeypatch) -> None:
    shelf.is_closed = True


def lower_ceiling(settings, monkeypatch) -> None:
    settings.LOA = settings.LOA | {"PAYMENT_CEILING_MICRO_USDC": 1}


def retire_quote_key(settings, monkeypatch) -> None:
    settings.LOA = settings.LOA | {"QUOTE_KEYS": {"t2": "55" * 32}, "QUOTE_KEY_ACTIVE": "t2"}


def let_a_day_pass(settings, monkeypatch) -> None:
    tomorrow = time.time() + 86_400
    monkeypatch.setattr("x402.services.verification.time.time", lambda: tomorrow)


def fill_the_rate_limit(settings, monkeypatch) -> None:
    settings.LOA = settings.LOA | {"RATE_LIMITS": dict.fromkeys(settings.LOA["RATE_LIMITS"], 0)}


def cut_the_chain_off(settings, monkeypatch) -> None:
    monkeypatch.setattr("x402.services.facilitator_choice._rpc_clients", {})
    facts = settings.LOA["NETWORKS"][NETWORK] | {"rpc_urls": ["http://127.0.0.1:1"]}
    settings.LOA = settings.LOA | {"NETWORKS": {NETWORK: facts}}
    networks.cache_clear()


def pay_elsewhere(settings, monkeypatch) -> None:
    facts = settings.LOA["NETWORKS"][NETWORK] | {"pay_to": "0x" + "ab" * 20}
    settings.LOA = settings.LOA | {"NETWORKS": {NETWORK: facts}}
    networks.cache_clear()


CHANGES = [
    raise_price,
    revoke_price,
    close_shelf,
    lower_ceiling,
    retire_quote_key,
    let_a_day_pass,
    fill_the_rate_limit,
    cut_the_chain_off,
    pay_elsewhere,
]


@pytest.mark.attacks("R19 changed after it was paid")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_paid_request_is_answered_from_its_record_whatever_has_changed(
    attack: Attack, settings, monkeypatch, change
) -> None:
    buyer = attack.buyer()
    headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/shelved")))}
    bought = buyer.ask("/shelved", headers=headers)

    with monkeypatch.context() as patched:
        before = settings.LOA
        change(settings, patched)
        retried = buyer.ask("/shelved", headers=headers)
        settings.LOA = before
        networks.cache_clear()

    assert (retried.status_code, retried.content) == (200, bought.content)
    attack.saw(bought, retried)


@pytest.mark.attacks("R20 quotes")
@pytest.mark.parametrize("new_price", [9_000, 100])
@pytest.mark.parametrize("version", [1, 2])
def test_a_price_that_changes_between_the_legs(attack: Attack, new_price: int, version: int) -> None:
    """Version 2 carries its quote; a version 1 payment of a price this object no longer names is asked anew."""
    buyer = attack.buyer()
    challenge = buyer.ask("/shelved")
    shelf.versions.append(new_price)

    if version == 2:
        answer = buyer.ask("/shelved", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(challenge))})
        assert answer.status_code == 200
        assert Payment.objects.get(payer=buyer.address.lower()).price_version == 0
    else:
        answer = buyer.ask("/shelved", headers={"X-PAYMENT": buyer.v1_header(challenge.json())})
        assert answer.status_code == 402
        assert answer.json()["accepts"][0]["maxAmountRequired"] == str(new_price)
    attack.saw(answer)


@pytest.mark.attacks("R20 quotes")
def test_a_revoked_price_sells_nothing_more(attack: Attack, settings, monkeypatch) -> None:
    buyer = attack.buyer()
    header = buyer.v2_header(terms_of(buyer.ask("/shelved")))
    revoke_price(settings, monkeypatch)

    refused = buyer.ask("/shelved", headers={"PAYMENT-SIGNATURE": header})

    assert (refused.status_code, refused.json()["code"]) == (402, "quote_revoked")
    assert terms_of(refused)["accepts"][0]["amount"] == "9000"
    assert attack.chain.balance_of(buyer.address) == 1_000_000
    attack.stranger_saw(refused)


def paying(attack: Attack, token: str, *, value: str | None = None):
    """The answer to a payment whose offer carries this token (and this amount)."""
    buyer = attack.buyer()
    terms = terms_of(buyer.ask("/shelved"))
    offer = terms["accepts"][0]
    offer["extra"]["quote"] = token
    if value is not None:
        offer["amount"] = value
    return buyer.ask("/shelved", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms)})


def _keys() -> dict[str, bytes]:
    return {key: secret.encode() for key, secret in site.LOA["QUOTE_KEYS"].items()}


def genuine(attack: Attack) -> str:
    return str(terms_of(attack.buyer().ask("/shelved"))["accepts"][0]["extra"]["quote"])


@pytest.mark.attacks("R20 quotes")
def test_every_changed_character_of_a_quote_makes_it_unknown(attack: Attack) -> None:
    token = genuine(attack)
    buyer = attack.buyer()
    terms = terms_of(buyer.ask("/shelved"))
    for position in range(0, len(token), 7):
        other = "A" if token[position] != "A" else "B"
        terms["accepts"][0]["extra"]["quote"] = token[:position] + other + token[position + 1 :]

        refused = buyer.ask("/shelved", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms)})

        assert (refused.status_code, refused.json()["code"]) == (402, "quote_unknown")
        attack.stranger_saw(refused)


@pytest.mark.attacks("R20 quotes")
@pytest.mark.parametrize("spelt", ["padded", "with a space", "doubled", "empty", "standard alphabet", "url", "absent"])
def test_a_quote_has_one_spelling(attack: Attack, spelt: str) -> None:
    token = genuine(attack)
    games = {
        "padded": token + "==",
        "with a space": token + " ",
        "doubled": token + token,
        "empty": "",
        "standard alphabet": token.replace("-", "+").replace("_", "/") + "+",
        "url": "http://" + token,
    }

    if spelt == "absent":
        buyer = attack.buyer()
        payment = decoded(buyer.v2_header(terms_of(buyer.ask("/shelved"))))
        del payment["accepted"]["extra"]["quote"]
        refused = buyer.ask("/shelved", headers=v2_of(payment))
    else:
        refused = paying(attack, games[spelt])

    assert refused.status_code == 402
    assert refused.json()["code"] in ("quote_unknown", "invalid_payment_requirements")
    attack.stranger_saw(refused)


@pytest.mark.attacks("R20 quotes")
def test_a_leaked_quote_key_can_only_pick_an_existing_price(attack: Attack) -> None:
    """Whoever has the key still cannot name a price of their own, revive a version or stretch a quote's life."""
    real = quote_token.authenticate(genuine(attack), keys=_keys())
    key_id, secret = next(iter(_keys().items()))

    def forged(**changes: object) -> str:
        facts = {name: getattr(real, name) for name in real.__dataclass_fields__} | changes
        return quote_token.issue(quote_token.QuoteToken(**facts), key_id=key_id, secret=secret)

    cheap = paying(attack, forged(max_cost_micro_usdc=1), value="1")
    unknown = paying(attack, forged(price_version=7))
    expired = paying(attack, forged(issued_at=real.issued_at - 600, expires_at=real.expires_at - 600))
    other_request = paying(attack, forged(request_hash=bytes(32)))

    assert (cheap.status_code, cheap.json()["code"]) == (402, "quote_unknown")
    assert (unknown.status_code, unknown.json()["code"]) == (402, "quote_revoked")
    assert (expired.status_code, expired.json()["code"]) == (402, "quote_expired")
    assert (other_request.status_code, other_request.json()["code"]) == (402, "request_changed")
    attack.stranger_saw(cheap, unknown, expired, other_request)


@pytest.mark.attacks("R20 quotes")
def test_a_quote_that_claims_credit_nobody_has_is_worth_nothing(attack: Attack) -> None:
    """A forged quote says that credit pays all but one unit; the credit is not there."""
    buyer = attack.buyer()
    real = quote_token.authenticate(genuine(attack), keys=_keys())
    key_id, secret = next(iter(_keys().items()))
    facts = {name: getattr(real, name) for name in real.__dataclass_fields__}
    facts |= {"wallet": bytes.fromhex(buyer.address[2:]), "credit_applied_micro_usdc": 4_999}
    token = quote_token.issue(quote_token.QuoteToken(**facts), key_id=key_id, secret=secret)
    terms = terms_of(buyer.ask("/shelved"))
    terms["accepts"][0]["extra"]["quote"] = token
    terms["accepts"][0]["amount"] = "1"

    refused = buyer.ask("/shelved", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms)})

    assert (refused.status_code, refused.json()["code"]) == (402, "credit_changed")
    assert attack.chain.balance_of(buyer.address) == 1_000_000
    attack.stranger_saw(refused)


@pytest.mark.attacks("R20 quotes")
def test_one_quote_may_be_paid_many_times_each_a_purchase_of_its_own(attack: Attack) -> None:
    buyer = attack.buyer()
    terms = terms_of(buyer.ask("/shelved"))

    bought = [buyer.ask("/shelved", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms)}) for _ in range(3)]

    assert {answer.status_code for answer in bought} == {200}
    assert len({answer.json()["payment_id"] for answer in bought}) == 3
    assert attack.chain.balance_of(buyer.address) == 1_000_000 - 3 * 5_000
    attack.saw(*bought)
