"""Rows 12 and 13: headers, bodies and caches, each wrong in every way."""

import base64
import json
import time
from typing import Any

import pytest
from django.test import Client

from tests.attacks import shop
from tests.attacks.score import Attack
from tests.attacks.tools import v2_of
from tests.x402.buyer import Buyer, decoded, terms_of
from x402.models import Payment

pytestmark = pytest.mark.urls("tests.attacks.shop")
REFUSAL_SECONDS = 0.010
TRIES = 5


def payment_of(buyer: Buyer, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return decoded(buyer.v2_header(terms_of(buyer.ask("/item/a")), changes))


def deep(levels: int) -> bytes:
    return b'{"x402Version":2,"a":' + b"[" * levels + b"]" * levels + b"}"


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


BROKEN = {
    "not base64": "***",
    "empty": "",
    "blank": "   ",
    "base64 of nothing": b64(b""),
    "not JSON": b64(b"hello"),
    "a JSON list": b64(b"[]"),
    "a JSON number": b64(b"1"),
    "null": b64(b"null"),
    "1 MB of base64": b64(b"x" * 1_000_000),
    "1 MB of nothing": "A" * 1_000_000,
    "16 KiB and one": "A" * 16_385,
    "deep": b64(deep(5_000)),
    "unclosed": b64(b"[" * 11_000),
    "duplicate keys": b64(b'{"x402Version":2,"x402Version":2}'),
    "duplicate keys, spelt apart": b64(b'{"x402Version":2,"x402V\\u0065rsion":1}'),
    "not UTF-8": b64(b'{"x402Version":2,"a":"\xff"}'),
    "a byte order mark": b64(b'\xef\xbb\xbf{"x402Version":2}'),
    "UTF-16": b64('{"x402Version":2}'.encode("utf-16")),
    "NaN": b64(b'{"x402Version":NaN}'),
    "an exponent": b64(b'{"x402Version":2,"n":1e400}'),
    "two values": b64(b'{"x402Version":2}{"x402Version":2}'),
    "folded headers": b64(b'{"x402Version":2}') + "," + b64(b'{"x402Version":2}'),
    "a lone surrogate": b64(b'{"x402Version":2,"a":"\\ud800"}'),
    "a NUL": b64(b'{"x402Version":2}\x00'),
    "non-ASCII": "é" * 100,
    "full-width": "ＡＡＡＡ",
    "a huge integer": b64(b'{"x402Version":2,"n":' + b"9" * 5_000 + b"}"),
}


@pytest.mark.attacks("12 header games")
@pytest.mark.parametrize("header", ["PAYMENT-SIGNATURE", "X-PAYMENT"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_header_that_cannot_be_read_is_refused_at_once(attack: Attack, name: str, header: str) -> None:
    client = Client()
    seconds = []

    for _ in range(TRIES):
        begun = time.thread_time()
        refused = client.get("/item/a", headers={header: BROKEN[name]})
        seconds.append(time.thread_time() - begun)

    assert refused.status_code == 400, refused.content
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] in ("invalid_payment_header", "payment_header_too_large", "ambiguous_payment")
    assert "Traceback" not in refused.content.decode()
    assert min(seconds) < REFUSAL_SECONDS
    attack.stranger_saw(refused)


WRONG_FIELDS = {
    "x402Version": [1, "2", 2.5, True, None, [2], 3, -2],
    "accepted": [None, [], "exact", {}],
    "payload": [None, [], {}, {"signature": "0x"}, {"authorization": {}, "permit2Authorization": {}}],
    "resource": ["http://testserver/item/a", {"url": 7}, {}, []],
    "extensions": [[], "x", 7],
    "accepted.amount": [
        10_000,
        "1e4",
        "0x2710",
        "010000",
        " 10000",
        "１００００",
        "10000.0",
        "-10000",
        "٣",
        True,
        "1" * 79,
    ],
    "accepted.network": ["base-sepolia", "eip155:1", "eip155:084532", "solana:x", "", "eip155:" + "9" * 500, 84532],
    "accepted.scheme": ["upto", "", "EXACT", 7],
    "accepted.asset": ["0x" + "00" * 20, "usdc", "", "0X036cbd53842c5426634e7929541ec2318f3dcf7e", 7],
    "accepted.payTo": ["0x" + "00" * 20, "me", ""],
    "accepted.maxTimeoutSeconds": ["300", 0, -1, 2**70, 1.5, True],
    "accepted.extra": [None, [], {}, {"quote": 7}, {"quote": "x" * 5_000}, {"quote": ""}, {"quote": "é\x00"}],
    "payload.signature": [7, None, "0x" + "zz" * 65, "0x" + "00" * 8_193, "ab" * 65, []],
    "payload.authorization": [None, [], "x", {}],
    "payload.authorization.value": [
        10_000,
        "1e4",
        "0x2710",
        "１００００",
        "10000 ",
        "-1",
        "+10000",
        "1" * 80,
        True,
        "10_000",
    ],
    "payload.authorization.nonce": ["0x00", "0x" + "00" * 31, "0x" + "00" * 33, 7, None, "00" * 32],
    "payload.authorization.from": ["0x" + "00" * 19, "me", None, {}, "0x" + "0g" * 20],
    "payload.authorization.validAfter": [0, "-1", None, "soon", "٠", "0x0"],
    "payload.authorization.validBefore": [2_000_000_000, "never", None, "1" * 90, "1.5e9"],
}


@pytest.mark.attacks("12 header games")
@pytest.mark.parametrize("field", WRONG_FIELDS)
def test_a_field_of_the_wrong_shape_gets_its_reason_and_never_a_500(attack: Attack, field: str) -> None:
    buyer = attack.buyer()
    payment = payment_of(buyer)

    for wrong in WRONG_FIELDS[field]:
        changed = json.loads(json.dumps(payment))
        *parents, last = field.split(".")
        holder = changed
        for name in parents:
            holder = holder[name]
        holder[last] = wrong

        refused = buyer.ask("/item/a", headers=v2_of(changed))

        assert refused.status_code in (400, 402), (wrong, refused.content)
        assert refused["Content-Type"] == "application/problem+json"
        assert refused.json()["code"] not in ("payment_required", "server_error"), (wrong, refused.content)
        attack.stranger_saw(refused)
    assert not Payment.objects.filter(payer=buyer.address.lower()).exists()


@pytest.mark.attacks("12 header games")
def test_both_versions_or_a_key_and_a_payment_at_once_are_ambiguous(attack: Attack) -> None:
    buyer = attack.buyer()
    challenge = buyer.ask("/item/a")
    v2, v1 = buyer.v2_header(terms_of(challenge)), buyer.v1_header(challenge.json())

    refused = [
        buyer.ask("/item/a", headers={"PAYMENT-SIGNATURE": v2, "X-PAYMENT": v1}),
        buyer.ask("/item/a", headers={"PAYMENT-SIGNATURE": v2, "Authorization": "Bearer dk_abc"}),
        buyer.ask("/item/a", headers={"PAYMENT-SIGNATURE": v2, "Authorization": "bearer dk_abc"}),
        buyer.ask("/item/a", headers={"PAYMENT-SIGNATURE": v2, "Authorization": "BEARER  dk_abc"}),
        buyer.ask("/item/a", headers={"X-PAYMENT": v1, "Authorization": "Bearer dk_abc"}),
        buyer.ask("/item/a", headers={"PAYMENT-SIGNATURE": f"{v2}, {v2}"}),
        buyer.ask("/item/a", headers={"X-PAYMENT": f"{v1},{v1}"}),
    ]

    assert [(one.status_code, one.json()["code"]) for one in refused] == [(400, "ambiguous_payment")] * len(refused)
    assert attack.chain.balance_of(buyer.address) == 1_000_000
    attack.stranger_saw(*refused)


@pytest.mark.attacks("12 header games")
def test_a_version_in_the_wrong_header_is_refused(attack: Attack) -> None:
    buyer = attack.buyer()
    challenge = buyer.ask("/item/a")
    v2, v1 = buyer.v2_header(terms_of(challenge)), buyer.v1_header(challenge.json())

    refused = [
        buyer.ask("/item/a", headers={"X-PAYMENT": v2}),
        buyer.ask("/item/a", headers={"PAYMENT-SIGNATURE": v1}),
    ]

    assert [(one.status_code, one.json()["code"]) for one in refused] == [(402, "invalid_x402_version")] * 2
    attack.stranger_saw(*refused)


HOSTILE_HEADERS = {
    "traceparent": ["x" * 5_000, "00-" + "0" * 32, "\x00", "00-" + "a" * 32 + "-" + "b" * 16 + "-01" + "-x" * 200],
    "tracestate": ["x" * 10_000, "a=\x00"],
    "Idempotency-Key": ["short", "x" * 5_000, "é" * 20, "a b c d e f g h i j", "\x00" * 16],
    "Authorization": ["", "Bearer", "Bearer \x00", "Basic eA==", "Bearer " + "x" * 10_000, "é"],
    "SIGN-IN-WITH-X": [
        "***",
        b64(b"{}"),
        b64(b"[]"),
        "x" * 10_000,
        b64(b"[" * 5_000),
        b64(b'{"chainId": 1e400}'),
        "\xff",
    ],
    "Content-Type": ["application/json; charset=none", "multipart/form-data; boundary=" + "x" * 500, "é/é"],
    "Accept": ["\x00", "x" * 10_000],
    "Host": ["evil.example", "testserver:99999", "\x00"],
    "X-Request-Id": ["\x00", "x" * 10_000],
    "X-Correlation-Id": ["\x00", "x" * 10_000],
    "Cookie": ["sessionid=" + "x" * 5_000, "\x00=;;;=", "sessionid=\x00"],
    "X-HTTP-Method-Override": ["POST"],
}


@pytest.mark.attacks("12 header games")
@pytest.mark.parametrize("header", HOSTILE_HEADERS)
@pytest.mark.parametrize("is_paid", [False, True], ids=["unpaid", "paid"])
def test_no_other_header_makes_a_paid_endpoint_fail(attack: Attack, header: str, is_paid: bool) -> None:
    for value in HOSTILE_HEADERS[header]:
        buyer = attack.buyer()
        headers = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/item/a")))} if is_paid else {}
        client = Client(raise_request_exception=False)

        answer = client.get("/item/a", headers=headers | {header: value})

        assert answer.status_code < 500, (value[:50], answer.content)
        attack.saw(answer)


@pytest.mark.attacks("12 header games")
@pytest.mark.parametrize(
    "path",
    [
        "/item/%00",
        "/item/a%00b",
        "/item/" + "x" * 5_000,
        "/item/%ff%fe",
        "/item/%f0%9f%92%b8",
        "/item/a?q=%00",
        "/item/a?q=%ff",
        "/item/a?" + "a=1&" * 999,
        "/item/%E2%80%AE",
    ],
    ids=lambda path: path[:20],
)
def test_no_path_makes_a_paid_endpoint_fail(attack: Attack, path: str) -> None:
    buyer = attack.buyer()
    buyer.client = Client(raise_request_exception=False)
    unpaid = buyer.ask(path)

    assert unpaid.status_code in (400, 402, 404), unpaid.content
    if unpaid.status_code == 402:
        bought = buyer.ask(path, headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(unpaid))})
        assert bought.status_code in (200, 400), bought.content
        attack.saw(bought)


@pytest.mark.attacks("12 header games")
@pytest.mark.parametrize("method", ["PROPFINDXYZ", "get", "HEAD", "TRACE", "X" * 300])
def test_no_method_makes_a_paid_endpoint_fail(attack: Attack, method: str) -> None:
    buyer = attack.buyer()
    client = Client(raise_request_exception=False)
    unpaid = client.generic(method, "/item/a")
    assert unpaid.status_code == 402, unpaid.content

    bought = client.generic(method, "/item/a", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(unpaid))})

    assert bought.status_code == 200, bought.content
    attack.saw(bought)


@pytest.mark.attacks("12 header games")
def test_a_preflight_gives_nothing_away_and_takes_no_money_even_with_a_payment(attack: Attack) -> None:
    buyer = attack.buyer()
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/item/a")))}

    answers = [Client().options("/item/a"), Client().options("/item/a", headers=header)]

    assert [(one.status_code, one.content) for one in answers] == [(204, b"")] * 2
    assert (sum(shop.runs.values()), attack.chain.balance_of(buyer.address)) == (0, 1_000_000)
    assert not Payment.objects.filter(payer=buyer.address.lower()).exists()


@pytest.mark.attacks("12 header games")
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_a_body_of_a_megabyte_is_refused_at_once(attack: Attack, content_type: str) -> None:
    client, seconds = Client(), []

    for _ in range(TRIES):
        begun = time.thread_time()
        refused = client.post("/ask", b"[" * 1_000_000, content_type=content_type)
        seconds.append(time.thread_time() - begun)

    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
    assert min(seconds) < REFUSAL_SECONDS
    attack.stranger_saw(refused)


@pytest.mark.attacks("13 cache leak")
@pytest.mark.parametrize("path", ["/item/a", "/careless"])
def test_no_shared_cache_may_keep_what_money_is_involved_in(attack: Attack, path: str) -> None:
    buyer = attack.buyer()
    unpaid = buyer.ask(path)
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(unpaid))}
    bought, replayed = buyer.ask(path, headers=header), buyer.ask(path, headers=header)
    used = buyer.ask("/twin", headers=header)
    broken = buyer.ask(path, headers={"PAYMENT-SIGNATURE": "***"})
    refused = buyer.ask(path, headers=v2_of(payment_of(buyer, {"value": "1"})))

    for answer in (unpaid, bought, replayed, used, broken, refused):
        assert "no-store" in answer["Cache-Control"], (answer.status_code, answer["Cache-Control"])
        assert "private" in answer["Cache-Control"]
        assert "public" not in answer["Cache-Control"]
        assert not answer.cookies
    for answer in (unpaid, bought, replayed):
        varied = {name.strip().lower() for name in answer["Vary"].split(",")}
        assert {"authorization", "payment-signature", "x-payment", "sign-in-with-x"} <= varied
    attack.saw(bought, replayed)
