"""Rows 11 and 19: signatures and clocks, each wrong in every way."""

import time
from typing import Any

import pytest

from tests.attacks.score import Attack
from tests.attacks.tools import turn_chain_clock_past, v2_of
from tests.x402.buyer import Buyer, decoded, terms_of
from x402.models import Payment

pytestmark = pytest.mark.urls("tests.attacks.shop")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def payment_of(buyer: Buyer, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return decoded(buyer.v2_header(terms_of(buyer.ask("/item/a")), changes))


def parts(signature: str) -> tuple[int, int, int]:
    raw = bytes.fromhex(signature[2:])
    return int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64]


def joined(r: int, s: int, v: int) -> str:
    return "0x" + (r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])).hex()


SIGNATURES = {
    "high-s twin": lambda r, s, v: joined(r, ORDER - s, 55 - v),
    "high-s, same v": lambda r, s, v: joined(r, ORDER - s, v),
    "v 0 or 1": lambda r, s, v: joined(r, s, v - 27),
    "v 29": lambda r, s, v: joined(r, s, 29),
    "v with a chain id": lambda r, s, v: joined(r, s, 255),
    "other v": lambda r, s, v: joined(r, s, 55 - v),
    "64 bytes": lambda r, s, v: joined(r, s, v)[:-2],
    "compact (EIP-2098)": lambda r, s, v: "0x" + (r << 256 | (v - 27) << 255 | s).to_bytes(64, "big").hex(),
    "66 bytes": lambda r, s, v: joined(r, s, v) + "00",
    "zero r": lambda r, s, v: joined(0, s, v),
    "zero s": lambda r, s, v: joined(r, 0, v),
    "r is the order": lambda r, s, v: joined(ORDER, s, v),
    "all ones": lambda r, s, v: "0x" + "ff" * 65,
    "all zeros": lambda r, s, v: "0x" + "00" * 65,
    "empty": lambda r, s, v: "0x",
    "EIP-6492 wrapper": lambda r, s, v: joined(r, s, v) + "6492" * 16,
}


@pytest.mark.attacks("11 signature games")
@pytest.mark.parametrize("name", SIGNATURES)
def test_only_the_canonical_signature_pays(attack: Attack, name: str) -> None:
    buyer = attack.buyer()
    payment = payment_of(buyer)
    game = SIGNATURES[name](*parts(payment["payload"]["signature"]))
    changed = payment | {"payload": payment["payload"] | {"signature": game}}

    before = buyer.ask("/item/a", headers=v2_of(changed))
    rows = Payment.objects.filter(payer=buyer.address.lower()).count()
    bought = buyer.ask("/item/a", headers=v2_of(payment))
    after = buyer.ask("/item/a", headers=v2_of(changed))

    for refused in (before, after):
        assert refused.status_code == 402
        assert refused.json()["code"] == "invalid_exact_evm_payload_signature", refused.content
    assert rows == 0
    assert bought.status_code == 200
    attack.saw(bought)
    attack.stranger_saw(before, after)


@pytest.mark.attacks("11 signature games")
@pytest.mark.parametrize(
    "changes",
    [
        {"value": "9999"},
        {"value": "10001"},
        {"to": "0x" + "ab" * 20},
        {"from": "0x" + "cd" * 20},
        {"nonce": "0x" + "00" * 32},
        {"validAfter": "1"},
        {"validBefore": "4102444799"},
    ],
    ids=str,
)
def test_a_field_changed_after_signing_is_another_authorization(attack: Attack, changes: dict[str, str]) -> None:
    buyer = attack.buyer()
    payment = payment_of(buyer)
    authorization = payment["payload"]["authorization"] | changes

    refused = buyer.ask(
        "/item/a", headers=v2_of(payment | {"payload": payment["payload"] | {"authorization": authorization}})
    )

    assert (refused.status_code, refused.json()["code"]) == (402, "invalid_exact_evm_payload_signature")
    assert terms_of(refused)["accepts"][0]["amount"] == "10000"
    attack.stranger_saw(refused)


@pytest.mark.attacks("11 signature games")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"value": "9999"}, "invalid_exact_evm_payload_authorization_value_mismatch"),
        ({"value": "10001"}, "invalid_exact_evm_payload_authorization_value_mismatch"),
        ({"value": "0"}, "invalid_exact_evm_payload_authorization_value_mismatch"),
        ({"value": str(2**256 - 1)}, "invalid_exact_evm_payload_authorization_value_mismatch"),
        ({"to": "0x" + "ab" * 20}, "invalid_exact_evm_payload_recipient_mismatch"),
    ],
    ids=str,
)
def test_what_is_properly_signed_but_wrong_is_refused_with_its_reason(
    attack: Attack, changes: dict[str, str], code: str
) -> None:
    buyer = attack.buyer()

    refused = buyer.ask("/item/a", headers=v2_of(payment_of(buyer, changes)))

    assert (refused.status_code, refused.json()["code"]) == (402, code)
    assert terms_of(refused)["accepts"][0]["amount"] == "10000"
    attack.stranger_saw(refused)


@pytest.mark.attacks("11 signature games")
def test_a_payer_with_code_pays_nothing_here(attack: Attack) -> None:
    buyer = attack.buyer()
    payment = payment_of(buyer)
    attack.chain.call("anvil_setCode", buyer.address, "0xef0100" + "ab" * 20)

    refused = buyer.ask("/item/a", headers=v2_of(payment))

    assert (refused.status_code, refused.json()["code"]) == (402, "invalid_exact_evm_payload_signature")
    attack.stranger_saw(refused)


@pytest.mark.attacks("19 clocks and windows")
@pytest.mark.parametrize(
    ("field", "offset", "reason"),
    [
        ("validAfter", 0, "invalid_exact_evm_payload_authorization_valid_after"),
        ("validAfter", 1, "invalid_exact_evm_payload_authorization_valid_after"),
        ("validAfter", 3_600, "invalid_exact_evm_payload_authorization_valid_after"),
        ("validBefore", -1, "invalid_exact_evm_payload_authorization_valid_before"),
        ("validBefore", 0, "invalid_exact_evm_payload_authorization_valid_before"),
        ("validBefore", 9, "invalid_exact_evm_payload_authorization_valid_before"),
        ("validBefore", 24 * 3_600 + 1, "invalid_exact_evm_payload_authorization_valid_before"),
        ("validBefore", 2**200, "invalid_exact_evm_payload_authorization_valid_before"),
        ("validAfter", -1, ""),
        ("validBefore", 10, ""),
        ("validBefore", 24 * 3_600, ""),
    ],
)
def test_the_window_is_exact_at_its_boundaries(
    attack: Attack, field: str, offset: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = attack.buyer()
    terms = terms_of(buyer.ask("/item/a"))
    now = int(time.time())
    monkeypatch.setattr("x402.services.verification.time.time", lambda: float(now))

    answer = buyer.ask("/item/a", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms, {field: str(now + offset)})})

    assert answer.status_code == (402 if reason else 200), answer.content
    if reason:
        assert answer.json()["code"] == reason
    attack.saw(answer)


@pytest.mark.attacks("19 clocks and windows")
def test_an_authorization_the_chain_calls_expired_is_refused_whatever_our_clock_says(attack: Attack) -> None:
    buyer = attack.buyer()
    ends = int(time.time()) + 40
    header = buyer.v2_header(terms_of(buyer.ask("/item/a")), {"validBefore": str(ends)})
    turn_chain_clock_past(attack.chain, ends)

    refused = buyer.ask("/item/a", headers={"PAYMENT-SIGNATURE": header})

    assert (refused.status_code, refused.json()["code"]) == (
        402,
        "invalid_exact_evm_payload_authorization_valid_before",
    )
    attack.stranger_saw(refused)


@pytest.mark.attacks("19 clocks and windows")
def test_an_authorization_that_expires_in_flight_takes_nothing_and_dies(
    attack: Attack, hold: Any, quick_finality: None, settings: Any
) -> None:
    settings.LOA = settings.LOA | {"WAIT_SECONDS": 2}
    attack.saw(attack.buyer().buy("/item/warm-up"))
    buyer = attack.buyer()
    ends = int(time.time()) + 40
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/item/a")), {"validBefore": str(ends)})}
    hold.take()
    waiting = buyer.ask("/item/a", headers=header)
    turn_chain_clock_past(attack.chain, ends)
    hold.let_go()

    retried = buyer.ask("/item/a", headers=header)
    attack.reckon()
    buried = buyer.ask("/item/a", headers=header)

    assert waiting.status_code == 503
    assert retried.status_code in (402, 503)
    assert (buried.status_code, buried.json()["code"]) == (402, "payment_refused")
    assert attack.chain.balance_of(buyer.address) == 1_000_000
    attack.saw(waiting, retried, buried)
