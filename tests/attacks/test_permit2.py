"""The attacks of rows 2 to 9 on payments by Permit2, whose logs name no nonce, and on `upto`, whose amount comes last.

A permit of the exact proxy can be carried by anyone, as an EIP-3009 authorization can; one of `upto` by us alone.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import contracts
from billing.selectors import credit_notes
from tests.attacks import shop
from tests.attacks.score import Attack
from tests.attacks.tools import (
    RelayerHold,
    again,
    in_background,
    invalidate_permit,
    row_of,
    submit_as_stranger,
    submit_permit_as_stranger,
    until,
    v2_of,
)
from tests.x402.buyer import Buyer, terms_of
from tests.x402.permit2_buyer import approve, permit_header
from x402.models import ConsumedLog, Payment, SettlementAttempt

pytestmark = pytest.mark.urls("tests.attacks.shop")


@pytest.fixture
def warm(attack: Attack) -> None:
    """The relayer's row exists and its key is led by this process."""
    attack.saw(attack.buyer().buy("/item/warm-up"))


@pytest.fixture(autouse=True)
def _short_wait(settings) -> Iterator[None]:
    settings.LOA = settings.LOA | {"WAIT_SECONDS": 3}
    yield
    shop.gate.set()


def approved(attack: Attack, balance_micro_usdc: int = 1_000_000) -> Buyer:
    """A wallet of this attack that has approved Permit2."""
    made = attack.buyer(balance_micro_usdc)
    approve(attack.chain, made)
    return made


def paid_while(
    hold: RelayerHold, buyer: Buyer, act: Callable[[dict[str, str]], object], *, path: str = "/item/a"
) -> tuple[dict[str, str], Any]:
    """Pay by Permit2; after verification and before settlement `act` with the headers. The headers and the answer."""
    headers = permit_header(buyer, terms_of(buyer.ask(path)))
    hold.take()
    answer = in_background(lambda: again(buyer).ask(path, headers=headers))
    until(lambda: row_of(buyer) is not None)
    act(headers)
    hold.let_go()
    return headers, answer.result(30)


@pytest.mark.attacks("6 preemption")
def test_a_stranger_who_carries_a_permit_first_has_paid_for_the_payer(
    attack: Attack, hold: RelayerHold, warm: None
) -> None:
    buyer = approved(attack)

    headers, answer = paid_while(hold, buyer, lambda sent: submit_permit_as_stranger(attack.chain, sent))
    retry = buyer.ask("/item/a", headers=headers)

    assert answer.status_code == 200, answer.content
    assert (retry.status_code, retry.content) == (200, answer.content)
    assert attack.chain.balance_of(buyer.address) == 1_000_000 - shop.FIXED_MICRO_USDC
    attack.saw(answer, retry)


@pytest.mark.attacks("5 revert-grant")
def test_a_permit_whose_nonce_the_payer_used_up_buys_nothing_and_is_answered_with_fresh_terms(
    attack: Attack, hold: RelayerHold, warm: None, quick_finality: None
) -> None:
    buyer = approved(attack)

    headers, answer = paid_while(hold, buyer, lambda sent: invalidate_permit(attack.chain, buyer, sent))
    retry = buyer.ask("/item/a", headers=headers)

    assert answer.status_code in (402, 503)
    assert (retry.status_code, retry.json()["code"]) == (402, "payment_refused")
    assert terms_of(retry)["accepts"][0]["amount"] == str(shop.FIXED_MICRO_USDC)
    assert (row_of(buyer).state, row_of(buyer).failure_code) == ("dead", "authorization_canceled")
    assert attack.chain.balance_of(buyer.address) == 1_000_000
    attack.saw(answer, retry)


@pytest.mark.attacks("9 a log that pays two")
@pytest.mark.parametrize("who", ["we", "a stranger's batch"])
def test_two_equal_permits_with_money_for_one_are_one_payment(
    attack: Attack, hold: RelayerHold, warm: None, who: str
) -> None:
    buyer = approved(attack, shop.FIXED_MICRO_USDC)
    headers = {name: permit_header(buyer, terms_of(buyer.ask(f"/item/{name}"))) for name in ("a", "b")}
    hold.take()
    answers = [
        in_background(lambda name=name: again(buyer).ask(f"/item/{name}", headers=headers[name])) for name in headers
    ]
    until(lambda: Payment.objects.filter(payer=buyer.address.lower()).count() == 2)
    if who == "a stranger's batch":
        submit_permit_as_stranger(attack.chain, *headers.values())
    hold.let_go()

    first = [answer.result(30) for answer in answers]
    retried = [buyer.ask(f"/item/{name}", headers=headers[name]) for name in headers]

    assert sorted(answer.status_code for answer in retried) == [200, 503]
    rows = Payment.objects.filter(payer=buyer.address.lower())
    assert sorted(row.state for row in rows) == ["served", "settlement_unknown"]
    assert ConsumedLog.objects.filter(beneficiary__in=[row.pk for row in rows]).count() == 1
    attack.saw(*first, *retried)


@pytest.mark.attacks("R1 public calldata")
def test_a_permit_rebuilt_from_public_calldata_gets_the_state_and_never_the_answer(attack: Attack) -> None:
    buyer = approved(attack)
    headers = permit_header(buyer, terms_of(buyer.ask("/item/a")))
    answer = buyer.ask("/item/a", headers=headers)
    fresh = terms_of(buyer.ask("/item/a"))
    calldata = attack.chain.call("eth_getTransactionByHash", row_of(buyer).transaction_hash)["input"]
    words = [calldata[10 + 64 * i : 10 + 64 * (i + 1)] for i in range(12)]
    offer = next(one for one in fresh["accepts"] if one["extra"].get("assetTransferMethod") == "permit2")
    rebuilt = {
        "signature": "0x" + "".join(words[9:12])[:130],
        "permit2Authorization": {
            "permitted": {"token": "0x" + words[0][-40:], "amount": str(int(words[1], 16))},
            "from": "0x" + words[4][-40:],
            "spender": contracts.load("x402ExactPermit2Proxy").address,
            "nonce": str(int(words[2], 16)),
            "deadline": str(int(words[3], 16)),
            "witness": {"to": "0x" + words[5][-40:], "validAfter": str(int(words[6], 16))},
        },
    }

    stolen = buyer.ask(
        "/item/a",
        headers=v2_of({"x402Version": 2, "payload": rebuilt, "accepted": offer, "resource": fresh["resource"]}),
    )

    assert answer.status_code == 200, answer.content
    assert (stolen.status_code, stolen.json()["code"]) == (409, "payment_already_used")
    attack.saw(answer)
    attack.stranger_saw(stolen)


@pytest.mark.attacks("R18 one authorization, many spellings")
def test_a_permit_and_an_authorization_of_the_same_nonce_are_two_payments(attack: Attack) -> None:
    buyer = approved(attack)
    terms = terms_of(buyer.ask("/item/a"))

    answers = [
        buyer.ask("/item/a", headers=permit_header(buyer, terms, {"nonce": "5"})),
        buyer.ask("/item/a", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms, {"nonce": "0x" + f"{5:064x}"})}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert Payment.objects.filter(payer=buyer.address.lower(), state="served").count() == 2
    attack.saw(*answers)


@pytest.mark.attacks("3 allowance overdraft")
def test_an_allowance_for_one_maximum_is_not_seen_by_many_at_once(attack: Attack) -> None:
    buyer = attack.buyer()
    approve(attack.chain, buyer, 2_000)
    until(lambda: attack.chain.call("eth_getTransactionCount", buyer.address, "latest") != "0x0")
    headers = [permit_header(buyer, terms_of(buyer.ask("/metered")), scheme="upto") for _ in range(6)]

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda one: again(buyer).ask("/metered", headers=one), headers))

    assert sorted(answer.status_code for answer in answers)[:1] == [200]
    assert {answer.status_code for answer in answers} == {200, 402}
    paid = [answer for answer in answers if answer.status_code == 200]
    assert attack.chain.balance_of(buyer.address) == 1_000_000 - 700 * len(paid)
    assert len(paid) == 1
    attack.saw(*answers)


@pytest.mark.attacks("3 allowance overdraft")
def test_maxima_of_all_schemes_count_against_one_balance(attack: Attack, hold: RelayerHold, warm: None) -> None:
    buyer = approved(attack, 11_000)
    first = permit_header(buyer, terms_of(buyer.ask("/item/a")))
    hold.take()
    pending = in_background(lambda: again(buyer).ask("/item/a", headers=first))
    until(lambda: row_of(buyer) is not None)

    refused = buyer.ask("/metered", headers=permit_header(buyer, terms_of(buyer.ask("/metered")), scheme="upto"))
    hold.let_go()
    answer = pending.result(30)

    assert (refused.status_code, refused.json()["code"]) == (402, "insufficient_funds")
    assert answer.status_code == 200
    attack.saw(refused, answer)


@pytest.mark.attacks("4 denial of settlement")
def test_a_wallet_whose_settlements_keep_reverting_waits_before_it_costs_more(
    attack: Attack, hold: RelayerHold, warm: None, settings
) -> None:
    settings.LOA = settings.LOA | {"WAIT_SECONDS": 1}
    buyer = attack.buyer()
    for name in ("a", "b", "c"):
        holding = RelayerHold(settings.DATABASES["default"])
        headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask(f"/item/{name}")))}
        holding.take()
        answer = in_background(lambda name=name, headers=headers: again(buyer).ask(f"/item/{name}", headers=headers))
        until(
            lambda name=name: Payment.objects.filter(request_path=f"/item/{name}", payer=buyer.address.lower()).exists()
        )
        attack.chain.mint(buyer.address, 0)
        holding.let_go()
        attack.saw(answer.result(30))
        until(
            lambda name=name: (
                Payment.objects.get(request_path=f"/item/{name}", payer=buyer.address.lower()).state
                == "settlement_unknown"
            )
        )
        attack.chain.mint(buyer.address, 1_000_000)

    limited = buyer.buy("/item/d")

    assert (limited.status_code, limited.json()["code"]) == (429, "rate_limited")
    assert int(limited["Retry-After"]) > 3_000
    assert SettlementAttempt.objects.filter(payment__payer=buyer.address.lower()).count() == 3
    assert attack.buyer().buy("/item/d").status_code == 200
    attack.saw(limited)


@pytest.mark.attacks("6 preemption")
@pytest.mark.parametrize("by", ["permit2", "eip3009"])
def test_a_transfer_that_is_known_only_after_its_quote_ended_goes_back_to_its_payer(
    attack: Attack, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    buyer = approved(attack)
    past = time.time() - 290
    with monkeypatch.context() as patched:
        patched.setattr("x402.services.offers.time.time", lambda: past)
        terms = terms_of(buyer.ask("/item/a"))
    if by == "permit2":
        headers = permit_header(buyer, terms)
        submit_permit_as_stranger(attack.chain, headers)
    else:
        headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms)}
        submit_as_stranger(attack.chain, headers["PAYMENT-SIGNATURE"])
    with monkeypatch.context() as patched:
        patched.setattr("x402.services.verification.time.time", lambda: past + 400)

        late = buyer.ask("/item/a", headers=headers)

    assert (late.status_code, late.json()["code"]) == (409, "nonce_already_used")
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount, note.expires_at) == ("owed", shop.FIXED_MICRO_USDC, None)
    assert sum(shop.runs.values()) == 0
    attack.stranger_saw(late)
