"""Row 21 and rule R13: credit notes as a target: another wallet's, the same one twice, across sites, in two tabs."""

import base64
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from eth_account import Account
from eth_account.messages import encode_defunct
from siwe import SiweMessage

from accounts.services import nonces, sessions
from accounts.services.sign_in_expectations import site_expectation
from billing.selectors import credit_notes
from tests.attacks import shop
from tests.attacks.score import NETWORK, Attack
from tests.attacks.tools import until
from tests.x402.buyer import Buyer, decoded, terms_of
from x402.models import Payment

pytestmark = pytest.mark.urls("tests.attacks.shop_urls")
ROW = pytest.mark.attacks("21 credit notes as a target")
USDC = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"


def credited(attack: Attack, times: int = 1) -> Buyer:
    """A wallet with a note of 2,000 for each time its paid work failed."""
    buyer = attack.buyer()
    for _ in range(times):
        assert buyer.buy("/broken").status_code == 502
    return buyer


def spendable(buyer: Buyer) -> int:
    return credit_notes.spendable_credit_of(buyer.address, USDC)


def bearer_of(buyer: Buyer) -> dict[str, str]:
    """A signed-in session of this wallet."""
    expected = site_expectation()
    message = SiweMessage.model_validate(
        {
            "domain": expected.domain,
            "uri": expected.uri,
            "address": buyer.address,
            "version": "1",
            "chain_id": 84532,
            "nonce": nonces.issue(),
            "issued_at": timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "statement": "Sign in to Loa.",
        }
    ).prepare_message()
    signature = Account.sign_message(encode_defunct(text=message), buyer.private_key).signature.hex()
    pair = sessions.sign_in(message, "0x" + signature.removeprefix("0x"))
    return {"Authorization": f"Bearer {pair.access_token}"}


def key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(16)}


def proof_for(buyer: Buyer, challenge: Any, **changes: object) -> dict[str, str]:
    """A SIGN-IN-WITH-X header for the challenge in this 402."""
    info = decoded(challenge["PAYMENT-REQUIRED"])["extensions"]["sign-in-with-x"]["info"]
    document: dict[str, Any] = {
        "domain": info["domain"],
        "address": buyer.address,
        "uri": info["uri"],
        "version": info["version"],
        "chainId": NETWORK,
        "type": "eip191",
        "nonce": info["nonce"],
        "issuedAt": info["issuedAt"],
        "expirationTime": info.get("expirationTime"),
        "statement": info.get("statement"),
    } | changes
    message = SiweMessage(
        domain=document["domain"],
        address=document["address"],
        uri=document["uri"],
        version=document["version"],
        chain_id=84532,
        nonce=document["nonce"],
        issued_at=document["issuedAt"],
        expiration_time=document["expirationTime"],
        statement=document["statement"],
    ).prepare_message()
    signature = Account.sign_message(encode_defunct(text=message), buyer.private_key).signature.hex()
    document["signature"] = "0x" + signature.removeprefix("0x")
    return {"SIGN-IN-WITH-X": base64.b64encode(json.dumps(document).encode()).decode()}


@ROW
def test_a_proven_wallet_spends_its_note_and_gets_its_change(attack: Attack) -> None:
    buyer = credited(attack)

    answer = buyer.ask("/ask", {"n": 1}, bearer_of(buyer) | key())

    assert answer.status_code == 200, answer.content
    assert spendable(buyer) == 1_300
    attack.saw(answer)


@ROW
def test_nobody_spends_the_note_of_another_wallet(attack: Attack) -> None:
    victim, thief = credited(attack), attack.buyer(0)
    challenge = thief.ask("/ask", {"n": 1})
    theirs = bearer_of(thief)

    refused = [
        thief.ask("/ask", {"n": 1}, theirs | key()),
        thief.ask("/ask", {"n": 1}, key() | {"X-Wallet": victim.address}),
        thief.ask("/ask", {"n": 1}, proof_for(thief, challenge, address=victim.address) | key()),
        thief.ask("/ask", {"n": 1}, key() | {"Authorization": "Bearer " + victim.address}),
        thief.ask("/ask", {"n": 1}, theirs | proof_for(thief, thief.ask("/ask", {"n": 1})) | key()),
    ]

    assert [one.status_code for one in refused] == [402, 402, 401, 401, 401]
    assert spendable(victim) == 2_000
    attack.stranger_saw(*refused)


@ROW
def test_the_same_spend_twenty_times_is_one_spend(attack: Attack) -> None:
    buyer = credited(attack, times=2)
    headers = bearer_of(buyer) | key()
    shop.runs.clear()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: Buyer(buyer.private_key, Client()).ask("/ask", {"n": 1}, headers), range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert spendable(buyer) == 4_000 - 700
    assert sum(shop.runs.values()) == 1
    attack.other_runs += ["broken"] * 2
    attack.saw(*answers)


@ROW
@pytest.mark.parametrize("price", ["whole", "more than half"])
def test_two_tabs_and_one_note_are_one_spend(attack: Attack, price: str) -> None:
    buyer = credited(attack)
    bearer = bearer_of(buyer)
    if price == "more than half":
        assert buyer.ask("/ask", {"n": 0}, bearer | key()).status_code == 200
        assert buyer.buy("/broken").status_code == 502
    before = spendable(buyer)

    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda n: Buyer(buyer.private_key, Client()).ask("/slow?tab=" + str(n), None, bearer | key()), range(8)
            )
        )

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [402] * 7, [answer.content for answer in answers]
    assert spendable(buyer) == before - 2_000
    for answer in answers:
        if answer.status_code == 402:
            assert "PAYMENT-REQUIRED" in answer.headers
    attack.saw(*answers)


@ROW
def test_a_key_whose_spend_found_no_credit_works_once_there_is_some(attack: Attack) -> None:
    """A refused spend keeps no key: the same request may succeed later."""
    buyer = credited(attack)
    bearer, wanted = bearer_of(buyer), [key() for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(lambda k: Buyer(buyer.private_key, Client()).ask("/item/a", None, bearer | k), wanted))
    for _ in range(5):
        assert buyer.buy("/broken").status_code == 502
    with ThreadPoolExecutor(4) as pool:
        racing = list(pool.map(lambda k: Buyer(buyer.private_key, Client()).ask("/item/a", None, bearer | k), wanted))
    losers = [k for k, answer in zip(wanted, racing, strict=True) if answer.status_code == 402]
    for _ in range(5):
        assert buyer.buy("/broken").status_code == 502
    late = buyer.ask("/item/a", None, bearer | losers[0])

    assert {answer.status_code for answer in first} == {402}
    assert sorted(answer.status_code for answer in racing) == [200, 402, 402, 402]
    assert late.status_code == 200, late.content
    attack.saw(*racing, late)


@ROW
def test_a_key_for_another_request_is_refused_and_costs_nothing(attack: Attack) -> None:
    buyer = credited(attack, times=2)
    headers = bearer_of(buyer) | key()
    bought = buyer.ask("/ask", {"n": 1}, headers)
    left = spendable(buyer)

    reused = [buyer.ask("/ask", {"n": 2}, headers), buyer.ask("/slow", None, headers)]

    assert [(one.status_code, one.json()["code"]) for one in reused] == [(422, "idempotency_key_reused")] * 2
    assert spendable(buyer) == left
    attack.saw(bought, *reused)


@ROW
def test_without_a_key_credit_is_never_touched(attack: Attack) -> None:
    buyer = credited(attack)

    answer = buyer.ask("/ask", {"n": 1}, bearer_of(buyer))

    assert answer.status_code == 402
    assert spendable(buyer) == 2_000
    attack.stranger_saw(answer)


@ROW
@pytest.mark.parametrize("how", ["get", "post", "form"])
def test_a_cookie_never_spends(attack: Attack, how: str) -> None:
    """A page of another site makes a browser send cookies; nothing in them proves a wallet."""
    buyer = credited(attack)
    bearer = bearer_of(buyer)
    browser = Client()
    User.objects.create_superuser(secrets.token_hex(4), password="x" * 20)
    browser.force_login(User.objects.latest("pk"))
    token = bearer["Authorization"].removeprefix("Bearer ")
    for name in ("Authorization", "access_token", "session", "sessionid2", "token", "loa_session"):
        browser.cookies[name] = token
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Idempotency-Key": "k" * 20}

    if how == "get":
        answer = browser.get("/slow", headers=foreign)
    elif how == "post":
        answer = browser.post("/ask", '{"n": 1}', content_type="application/json", headers=foreign)
    else:
        answer = browser.post("/ask", {"n": 1, "Authorization": bearer["Authorization"]}, headers=foreign)

    assert answer.status_code == 402, answer.content
    assert spendable(buyer) == 2_000
    assert answer.headers.get("Access-Control-Allow-Credentials") != "true"
    attack.stranger_saw(answer)


@ROW
def test_a_proof_for_one_request_spends_once_and_for_that_request_only(attack: Attack) -> None:
    buyer = credited(attack, times=3)
    challenge = buyer.ask("/ask", {"n": 1})
    proof = proof_for(buyer, challenge)

    elsewhere = [
        buyer.ask("/ask", {"n": 2}, proof),
        buyer.ask("/slow", None, proof),
        buyer.client.get("/ask", headers=proof),
    ]
    bought = buyer.ask("/ask", {"n": 1}, proof)
    replayed = Client().post("/ask", '{"n": 1}', content_type="application/json", headers=proof)

    assert [one.status_code for one in elsewhere] == [401, 401, 401]
    assert bought.status_code == 200, bought.content
    assert replayed.status_code == 401
    assert spendable(buyer) == 3 * 2_000 - 700
    attack.saw(bought)
    attack.stranger_saw(*elsewhere, replayed)


@ROW
def test_work_that_fails_on_credit_gives_the_credit_back(attack: Attack) -> None:
    buyer = credited(attack)

    answer = buyer.ask("/broken", None, bearer_of(buyer) | key())

    assert (answer.status_code, answer.json()["code"]) == (502, "paid_work_failed")
    assert spendable(buyer) == 2_000
    attack.saw(answer)


@ROW
def test_credit_gone_between_the_legs_takes_no_money(attack: Attack) -> None:
    """A quote that counts on credit, which another tab spends before it is paid."""
    buyer = credited(attack)
    bearer = bearer_of(buyer)
    mixed = terms_of(buyer.ask("/item/a", None, bearer))
    assert mixed["accepts"][0]["amount"] == "8000"
    spent = buyer.ask("/slow", None, bearer | key())
    balance = attack.chain.balance_of(buyer.address)

    refused = buyer.ask("/item/a", None, bearer | {"PAYMENT-SIGNATURE": buyer.v2_header(mixed)})

    assert spent.status_code == 200
    assert refused.status_code == 402, refused.content
    assert attack.chain.balance_of(buyer.address) == balance
    attack.saw(spent, refused)


@ROW
def test_a_mixed_quote_is_of_no_use_to_another_wallet(attack: Attack) -> None:
    victim, thief = credited(attack), attack.buyer()
    mixed = terms_of(victim.ask("/item/a", None, bearer_of(victim)))

    refused = thief.ask("/item/a", None, {"PAYMENT-SIGNATURE": thief.v2_header(mixed)})

    assert (refused.status_code, refused.json()["code"]) == (402, "credit_changed")
    assert spendable(victim) == 2_000
    assert attack.chain.balance_of(thief.address) == 1_000_000
    attack.stranger_saw(refused)


@ROW
def test_one_mixed_quote_paid_by_many_at_once_never_overdraws_the_credit(attack: Attack) -> None:
    buyer = credited(attack)
    bearer = bearer_of(buyer)
    mixed = terms_of(buyer.ask("/item/a", None, bearer))
    headers = [bearer | {"PAYMENT-SIGNATURE": buyer.v2_header(mixed)} for _ in range(6)]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda one: Buyer(buyer.private_key, Client()).ask("/item/a", None, one), headers))
    until(lambda: not Payment.objects.filter(payer=buyer.address.lower(), state__in=["settling", "serving"]).exists())

    assert sorted(answer.status_code for answer in answers) == [200] + [402] * 5
    assert spendable(buyer) == 0
    assert attack.chain.balance_of(buyer.address) == 1_000_000 - 2_000 - 8_000
    attack.saw(*answers)
