"""The price of a request: quoted to whoever asks, in the terms of both protocol versions."""

import base64
import json
import secrets

import pytest
from django.test import Client

from inference.domain.tokens import count_prompt_tokens
from x402.models import KeptQuote, Payment

pytestmark = pytest.mark.django_db(transaction=True)

CHAT = {"prompt": "Name three ledgers older than paper.", "max_tokens": 60}
MAX_COST = count_prompt_tokens([CHAT["prompt"]]) * 1 + 60 * 2  # loa-demo: 1 MicroUSD a token in, 2 out


def post(path, body, **headers):
    return Client().post(path, json.dumps(body), content_type="application/json", headers=headers)


def test_an_unpaid_call_is_answered_with_terms_in_both_versions_and_writes_nothing():
    quotes, payments = KeptQuote.objects.count(), Payment.objects.count()

    response = post("/api/v1/x402/invoke", CHAT)

    v1 = response.json()
    v2 = json.loads(base64.b64decode(response["PAYMENT-REQUIRED"]))
    assert response.status_code == 402
    assert v1["accepts"][0]["maxAmountRequired"] == str(MAX_COST)
    assert v2["accepts"][0]["amount"] == str(MAX_COST)
    assert v2["resource"]["url"] == "http://testserver/api/v1/x402/invoke"
    assert response["Cache-Control"] == "private, no-store"
    assert len(response["PAYMENT-REQUIRED"]) <= 4_096
    assert (KeptQuote.objects.count(), Payment.objects.count()) == (quotes, payments)


def test_a_quote_names_the_same_price_and_is_kept():
    response = post("/api/v1/x402/quote", CHAT)

    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"quote_id", "max_cost_micro_usdc", "price_version", "expires_at", "terms"}
    assert body["max_cost_micro_usdc"] == str(MAX_COST)
    assert body["terms"]["accepts"][0]["amount"] == str(MAX_COST)
    assert body["terms"]["resource"]["url"] == "http://testserver/api/v1/x402/invoke"
    kept = KeptQuote.objects.get(pk=body["quote_id"])
    assert (kept.max_cost_micro_usdc, kept.request_path) == (MAX_COST, "/api/v1/x402/invoke")


def test_quotes_that_are_kept_are_limited_for_each_client(settings):
    settings.LOA = settings.LOA | {"RATE_LIMITS": {"challenge": 2}}
    client = {"REMOTE_ADDR": f"198.51.100.{secrets.randbelow(250)}"}
    kept = KeptQuote.objects.count()

    answers = [
        Client().post("/api/v1/x402/quote", json.dumps(CHAT), content_type="application/json", **client)
        for _ in range(3)
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2]["Retry-After"]) >= 1
    assert KeptQuote.objects.count() == kept + 2


def test_the_default_model_and_the_named_one_have_one_price():
    named = post("/api/v1/x402/quote", CHAT | {"model": "loa-demo"}).json()

    assert named["max_cost_micro_usdc"] == str(MAX_COST)


def test_what_is_on_sale_is_listed_with_its_prices():
    response = Client().get("/api/v1/models")

    demo = next(model for model in response.json()["models"] if model["name"] == "loa-demo")
    assert demo == {
        "name": "loa-demo",
        "is_default": True,
        "capabilities": ["chat", "tools"],
        "context_tokens": 8_192,
        "max_output_tokens": 2_048,
        "price": {
            "version": 1,
            "input_micro_usd_per_million_tokens": "1000000",
            "output_micro_usd_per_million_tokens": "2000000",
        },
    }
