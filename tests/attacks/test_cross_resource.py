"""Rows 1 and 16, rules R1, R18 and R21: one payment buys one thing, once, for whoever paid."""

import pytest
from django.test import Client

from tests.attacks import shop
from tests.attacks.score import Attack
from tests.attacks.tools import rebuilt, v2_of
from tests.x402.buyer import decoded, encoded, receipt_of, terms_of
from x402.models import Payment

pytestmark = pytest.mark.urls("tests.attacks.shop")
ROW = pytest.mark.attacks("1 cross-resource substitution")


@ROW
def test_a_payment_for_one_thing_buys_no_other_of_the_same_price(attack: Attack) -> None:
    buyer = attack.buyer()
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/item/a")))}

    others = [buyer.ask(path, headers=header) for path in ("/item/b", "/twin", "/item/a?page=2", "/item/A")]
    bought = buyer.ask("/item/a", headers=header)
    afterwards = [buyer.ask(path, headers=header) for path in ("/item/b", "/twin", "/item/a?page=2")]
    by_post = buyer.client.post("/item/a", b"", content_type="application/json", headers=header)

    assert {(other.status_code, other.json()["code"]) for other in others} == {(402, "request_changed")}
    assert bought.json()["item"] == "a"
    for refused in (*afterwards, by_post):
        assert (refused.status_code, refused.json()["code"]) == (409, "payment_already_used")
        assert "accepts" not in refused.json()
    attack.saw(bought, *afterwards, by_post)
    attack.stranger_saw(*others)


@ROW
def test_a_version_one_payment_is_bound_to_its_first_use(attack: Attack) -> None:
    buyer = attack.buyer()
    header = {"X-PAYMENT": buyer.v1_header(buyer.ask("/item/a").json())}

    first, second = buyer.ask("/item/b", headers=header), buyer.ask("/item/a", headers=header)

    assert (first.status_code, second.status_code) == (200, 409)
    attack.saw(first, second)


@ROW
def test_the_quote_of_one_thing_in_a_payment_for_another_is_refused(attack: Attack) -> None:
    buyer = attack.buyer()
    cheap, wanted = terms_of(buyer.ask("/ask", {"n": 1})), terms_of(buyer.ask("/item/a"))
    payment = decoded(buyer.v2_header(wanted))
    payment["accepted"]["extra"]["quote"] = cheap["accepts"][0]["extra"]["quote"]

    refused = buyer.ask("/item/a", headers=v2_of(payment))

    assert (refused.status_code, refused.json()["code"]) == (402, "request_changed")
    assert not Payment.objects.filter(payer=buyer.address.lower()).exists()
    attack.saw(refused)


@ROW
def test_the_resource_a_payment_names_is_the_one_it_is_sent_to(attack: Attack) -> None:
    buyer = attack.buyer()
    payment = decoded(buyer.v2_header(terms_of(buyer.ask("/item/a"))))
    payment["resource"]["url"] = "http://testserver/item/b"

    refused = buyer.ask("/item/a", headers=v2_of(payment))

    assert (refused.status_code, refused.json()["code"]) == (402, "resource_mismatch")
    attack.saw(refused)


@pytest.mark.attacks("R1 public calldata")
@pytest.mark.parametrize("path", ["/item/public", "/careless"])
def test_whoever_rebuilds_a_payment_from_the_chain_gets_its_state_only(attack: Attack, path: str) -> None:
    buyer = attack.buyer()
    bought = buyer.buy(path)
    attack.saw(bought)
    fresh = terms_of(Client().get(path))
    transaction = receipt_of(bought)["transaction"]

    stolen = [
        Client().get(path, headers=headers | extra)
        for headers in rebuilt(attack.chain, transaction, fresh["accepts"][0], fresh["resource"])
        for extra in (
            {},
            {"Idempotency-Key": "a-guess-of-sixteen"},
            {"Loa-Quote-Token": fresh["accepts"][0]["extra"]["quote"]},
            {"Cookie": "sessionid=whatever"},
        )
    ]

    attack.stranger_saw(*stolen)
    for answer in stolen:
        assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (
            409,
            "payment_already_used",
            "served",
        )
    assert sum(shop.runs.values()) == 1


@pytest.mark.attacks("R1 public calldata")
def test_no_header_of_a_payment_page_gives_its_receipt_to_a_stranger(attack: Attack, settings) -> None:
    settings.ROOT_URLCONF = "tests.attacks.shop_urls"
    buyer = attack.buyer()
    bought = buyer.buy("/item/receipt")
    attack.saw(bought)
    payment_id = bought.json()["payment_id"]

    state = Client().get(f"/api/v1/payments/{payment_id}")
    receipt = Client().get(f"/api/v1/payments/{payment_id}/receipt")

    assert state.status_code == 200
    assert "item" not in state.json()
    assert receipt.status_code in (401, 403, 404)


@pytest.mark.attacks("16 served on verification alone")
def test_nothing_is_served_while_the_money_is_not_there(attack: Attack, hold, settings) -> None:
    settings.LOA = settings.LOA | {"WAIT_SECONDS": 1}
    attack.saw(attack.buyer().buy("/item/warm-up"))
    shop.runs.clear()
    buyer = attack.buyer()
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/item/a")))}

    hold.take()
    waiting = buyer.ask("/item/a", headers=header)
    runs_without_money = sum(shop.runs.values())
    hold.let_go()
    answered = buyer.ask("/item/a", headers=header)

    assert (waiting.status_code, waiting.json()["code"]) == (503, "payment_in_progress")
    assert int(waiting["Retry-After"]) > 0
    assert "accepts" not in waiting.json()
    assert runs_without_money == 0
    assert answered.status_code == 200
    attack.saw(waiting, answered)
    attack.other_runs.append("warm-up")


@pytest.mark.attacks("R18 one authorization, many spellings")
def test_no_spelling_of_an_authorization_makes_a_second_payment(attack: Attack) -> None:
    buyer = attack.buyer()
    v2 = decoded(buyer.v2_header(terms_of(buyer.ask("/item/a"))))
    bought = buyer.ask("/item/a", headers=v2_of(v2))
    attack.saw(bought)
    payload = v2["payload"]

    def spelt(**changes: object) -> dict[str, str]:
        authorization = payload["authorization"] | changes
        return v2_of(v2 | {"payload": payload | {"authorization": authorization}})

    nonce, payer = payload["authorization"]["nonce"], payload["authorization"]["from"]
    again = [
        spelt(nonce="0x" + nonce[2:].upper()),
        {"PAYMENT-SIGNATURE": v2_of(v2 | {"payload": payload})["PAYMENT-SIGNATURE"].rstrip("=")},
        spelt(**{"from": "0x" + payer[2:].lower()}),
        spelt(**{"from": "0x" + payer[2:].upper()}),
        v2_of(v2 | {"payload": payload | {"signature": "0x" + payload["signature"][2:].upper()}}),
    ]
    as_v1 = {"X-PAYMENT": encoded({"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": payload})}

    answers = [buyer.ask("/item/a", headers=headers) for headers in again]
    v1_answer = buyer.ask("/item/a", headers=as_v1)

    assert [answer.content for answer in answers] == [bought.content] * len(again)
    assert (v1_answer.status_code, v1_answer.json()["code"]) == (409, "payment_already_used")
    attack.saw(*answers)
    attack.stranger_saw(v1_answer)
    assert Payment.objects.filter(payer=buyer.address.lower()).count() == 1


BODY = '{"model": "m", "n": [1, 2.5, true, null], "text": "\\u00e9"}'


@pytest.mark.attacks("R21 what a request is")
@pytest.mark.parametrize(
    "spelling",
    [
        '{"text":"é","n":[1,2.5,true,null],"model":"m"}',
        '\n{ "n" : [ 1.0, 25e-1, true, null ],\t"model":"\\u006d","text":"\\u00E9" }\n',
        '{"model":"m","n":[1e0,2.50,true,null],"text":"\\u00e9"}',
    ],
)
def test_another_spelling_of_the_same_json_is_the_same_request(attack: Attack, spelling: str) -> None:
    buyer = attack.buyer()
    json_type = {"content_type": "application/json"}
    terms = terms_of(buyer.client.post("/ask", BODY, **json_type))
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}

    bought = buyer.client.post("/ask", BODY, headers=header, **json_type)
    again = buyer.client.post("/ask", spelling, headers=header, content_type="application/json; charset=utf-8")

    assert (again.status_code, again.content) == (200, bought.content)
    attack.saw(bought, again)


@pytest.mark.attacks("R21 what a request is")
@pytest.mark.parametrize(
    "other",
    [
        '{"model": "m", "n": [1, 2.5, true, null], "text": "e"}',
        '{"model": "m", "n": [1, 2.5, true], "text": "\\u00e9"}',
        '{"model": "m", "n": [1, 2.5, 1, null], "text": "\\u00e9"}',
        '{"model": "m", "n": [2.5, 1, true, null], "text": "\\u00e9"}',
        '{"model": "m", "n": [1, 2.5, "true", null], "text": "\\u00e9"}',
        '{"model": "m", "n": [1, 2.5, true, null], "text": "e\\u0301"}',
        '{"model": "m", "n": [1, 2.5, true, null], "text": "\\u00e9", "max_tokens": 9}',
    ],
)
def test_another_value_is_another_request(attack: Attack, other: str) -> None:
    buyer = attack.buyer()
    terms = terms_of(buyer.client.post("/ask", BODY, content_type="application/json"))
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}

    refused = buyer.client.post("/ask", other, content_type="application/json", headers=header)

    assert (refused.status_code, refused.json()["code"]) == (402, "request_changed")
    attack.stranger_saw(refused)


@pytest.mark.attacks("R21 what a request is")
@pytest.mark.parametrize(
    "body",
    [
        '{"model": "m", "model": "n"}',
        '{"a": {"b": 1, "\\u0062": 2}}',
        '{"n": NaN}',
        '{"n": 1e999}',
        '{"n": Infinity}',
        "[" * 200 + "]" * 200,
        '{"a": 1} {"a": 2}',
        '{"a": "\\ud800"}',
        b"\xff\xfe{}",
        '{"n": 01}',
        "",
        '{"n": 0x10}',
    ],
    ids=repr,
)
def test_json_with_two_readings_is_refused_paid_or_not(attack: Attack, body: str | bytes) -> None:
    buyer = attack.buyer()
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/ask", {"n": 1})))}
    json_type = {"content_type": "application/json"}

    unpaid = buyer.client.post("/ask", body, **json_type)
    paid = buyer.client.post("/ask", body, headers=header, **json_type)

    if body:
        assert (unpaid.status_code, unpaid.json()["code"]) == (400, "invalid_json")
        assert (paid.status_code, paid.json()["code"]) == (400, "invalid_json")
    else:
        assert (unpaid.status_code, paid.status_code) == (402, 402)
    attack.stranger_saw(paid)
