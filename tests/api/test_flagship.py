"""The flagship on real services: a priced prompt is paid on the chain, answered, charged by its tokens, and changed."""

import secrets

import pytest
from django.conf import settings as site

from billing.selectors import credit_notes
from inference.domain.tokens import count_prompt_tokens, count_tokens
from inference.models import CallUsage, Model
from inference.selectors import catalogue
from inference.services.price_versions import publish_price, revoke_price
from telemetry.identifiers import new_id
from tests.x402.buyer import Buyer, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from x402.models import Payment

pytestmark = pytest.mark.django_db(transaction=True)

INVOKE = "/api/v1/x402/invoke"
CHAT = {"prompt": "Name three ledgers older than paper.", "max_tokens": 200}
PROMPT_TOKENS = count_prompt_tokens([CHAT["prompt"]])


@pytest.fixture
def chain():
    return LocalChain(site.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])


@pytest.fixture
def buyer(chain):
    """A wallet with one USDC."""
    made = Buyer("0x" + secrets.token_hex(32))
    chain.mint(made.address, 1_000_000)
    return made


@pytest.fixture
def model():
    """A model of this test alone, at 1 MicroUSD a token both ways."""
    made = Model.objects.create(
        name=new_id("mod"), upstream="demo", upstream_model="loa-demo", context_tokens=4_000, max_output_tokens=2_000
    )
    publish_price(made, input_micro_usd_per_million=1_000_000, output_micro_usd_per_million=1_000_000)
    yield made
    Model.objects.filter(pk=made.pk).update(is_offered=False)
    catalogue.forget_snapshot()


def pay(buyer, terms, chat):
    return buyer.ask(INVOKE, chat, {"PAYMENT-SIGNATURE": buyer.v2_header(terms)})


def test_a_kept_quote_is_paid_and_only_the_tokens_used_are_charged(buyer, chain):
    quote = buyer.ask("/api/v1/x402/quote", CHAT).json()

    response = pay(buyer, quote["terms"], CHAT)

    answer = response.json()
    quoted, charged = PROMPT_TOKENS + 2 * 200, PROMPT_TOKENS + 2 * count_tokens(answer["answer"])
    assert response.status_code == 200
    assert answer["usage"] == {"input_tokens": PROMPT_TOKENS, "output_tokens": count_tokens(answer["answer"])}
    assert (answer["quoted_micro_usdc"], answer["charged_micro_usdc"]) == (str(quoted), str(charged))
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.remaining) == ("change", quoted - charged)
    assert chain.balance_of(buyer.address) == 1_000_000 - quoted
    payment = Payment.objects.get(pk=answer["payment_id"])
    assert payment.correlation_id == quote["quote_id"]
    [usage] = CallUsage.objects.filter(payment_id=payment.pk)
    assert (usage.account_id, usage.charged_micro_usdc) == (payment.account_id, charged)


def test_the_alias_is_an_address_of_its_own(buyer):
    response = buyer.buy("/api/v1/pay/chat", CHAT)

    assert response.status_code == 200
    assert receipt_of(response)["success"] is True


def test_a_quote_for_another_prompt_buys_nothing(buyer, chain):
    terms = terms_of(buyer.ask(INVOKE, CHAT))

    response = pay(buyer, terms, CHAT | {"prompt": "Name four ledgers older than paper."})

    assert (response.status_code, response.json()["code"]) == (402, "request_changed")
    assert chain.balance_of(buyer.address) == 1_000_000


def test_another_spelling_of_the_same_json_is_the_same_request(buyer):
    terms = terms_of(buyer.ask(INVOKE, CHAT))
    spelt = '{ "max_tokens": 2e2,\n "prompt" : "Name three ledgers older than p\\u0061per."}'

    response = buyer.client.post(
        INVOKE, spelt, content_type="application/json", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms)}
    )

    assert response.status_code == 200


@pytest.mark.parametrize("new_price", [9_000_000, 500_000])
def test_a_price_changed_between_the_legs_does_not_break_a_payment(buyer, model, new_price):
    chat = CHAT | {"model": model.name}
    terms = terms_of(buyer.ask(INVOKE, chat))

    publish_price(model, input_micro_usd_per_million=new_price, output_micro_usd_per_million=new_price)
    response = pay(buyer, terms, chat)

    answer = response.json()
    assert response.status_code == 200
    assert (answer["price_version"], answer["quoted_micro_usdc"]) == (1, str(PROMPT_TOKENS + 200))
    assert answer["charged_micro_usdc"] == str(sum(answer["usage"].values()))


def test_a_version_one_payment_at_the_price_of_a_minute_ago_is_taken(buyer, model):
    chat = CHAT | {"model": model.name}
    body = buyer.ask(INVOKE, chat).json()

    publish_price(model, input_micro_usd_per_million=9_000_000, output_micro_usd_per_million=9_000_000)
    response = buyer.ask(INVOKE, chat, {"X-PAYMENT": buyer.v1_header(body)})

    assert response.status_code == 200
    assert response.json()["price_version"] == 1


def test_a_revoked_price_is_refused_with_new_terms_and_nothing_is_taken(buyer, chain, model):
    chat = CHAT | {"model": model.name}
    publish_price(model, input_micro_usd_per_million=9, output_micro_usd_per_million=9)
    terms = terms_of(buyer.ask(INVOKE, chat))

    revoke_price(model, version=2)
    response = pay(buyer, terms, chat)

    assert (response.status_code, response.json()["code"]) == (402, "quote_revoked")
    assert terms_of(response)["accepts"][0]["amount"] == str(PROMPT_TOKENS + 200)
    assert chain.balance_of(buyer.address) == 1_000_000


def test_a_model_that_fails_after_payment_gives_the_whole_amount_back(buyer, model, settings):
    broken = {"class": "inference.upstreams.openai.OpenAIUpstream", "base_url": "http://127.0.0.1:9/v1"}
    settings.LOA = settings.LOA | {"UPSTREAMS": {"demo": broken}}
    chat = CHAT | {"model": model.name}
    terms = terms_of(buyer.ask(INVOKE, chat))
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}

    first = buyer.ask(INVOKE, chat, header)
    again = buyer.ask(INVOKE, chat, header)

    [note] = credit_notes.notes_of(buyer.address)
    assert (first.status_code, again.status_code) == (502, 502)
    assert first.json()["credit_notes"][0]["id"] == again.json()["credit_notes"][0]["id"] == note.id
    assert (note.kind, note.amount, note.expires_at) == ("owed", PROMPT_TOKENS + 200, None)
    assert "answer" not in first.json()
