"""No customer reads or changes what is another's: every kind of possession, by session and by API key."""

import secrets
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from inference.models import OwnKey
from tests.fuzz.people import INVOKE, QUESTION, Person, expect
from tests.journeys.live_site import Answer, LiveSite

pytestmark = pytest.mark.fuzz

PAYMENTS, KEYS, REFUNDS = "/api/v1/payments", "/api/v1/keys", "/api/v1/credits/refunds"
STATE_ALONE = {"payment_id", "state", "is_final", "next_step", "created_at"}


@pytest.fixture
def alice(people: list[Person]) -> Person:
    return people[0]


@pytest.fixture
def eve(people: list[Person]) -> Person:
    return people[1]


def asked_by(eve: Person, path: str, method: str = "GET", body: Any = None) -> list[Answer]:
    """The answers to another's session, another's key, and nobody."""
    return [eve.site.ask(method, path, body, headers) for headers in (eve.bearer, eve.key, {})]


def require_nothing_of(alice: Person, *answers: Answer, named: str = "") -> None:
    """No answer holds a name of hers, but the one the asker gave."""
    secret = {alice.wallet, alice.account_id, *alice.possessions.values(), alice.key_payment_id} - {named}
    for answer in answers:
        assert not {text for text in secret if text in answer.body.decode().lower()}, answer.body
        assert answer.status < 500, answer.body


def test_of_anothers_payment_a_stranger_sees_the_state_alone(alice: Person, eve: Person) -> None:
    for payment_id in (alice.payment_id, alice.key_payment_id):
        answers = asked_by(eve, f"{PAYMENTS}/{payment_id}")

        assert [set(expect(answer, 200)) for answer in answers] == [STATE_ALONE] * 3
        require_nothing_of(alice, *answers, named=payment_id)
        assert "paid_micro_usdc" in expect(alice.ask("GET", f"{PAYMENTS}/{payment_id}"), 200)


def test_anothers_receipt_is_refused(alice: Person, eve: Person) -> None:
    for payment_id in (alice.payment_id, alice.key_payment_id):
        answers = asked_by(eve, f"{PAYMENTS}/{payment_id}/receipt")

        assert [answer.status for answer in answers] == [401] * 3
        require_nothing_of(alice, *answers, named=payment_id)
        expect(alice.ask("GET", f"{PAYMENTS}/{payment_id}/receipt"), 200)


def test_lists_balances_histories_and_usage_hold_ones_own_alone(alice: Person, eve: Person) -> None:
    cursors = "", "&cursor=" + alice.payment_id
    for path in (
        f"{PAYMENTS}?limit=100",
        f"{REFUNDS}?limit=100",
        f"{KEYS}?x",
        "/api/v1/credits/balance?x",
        "/api/v1/credits/history?of=notes",
        "/api/v1/credits/history?of=prepaid",
        "/api/v1/usage?x",
        "/api/v1/byok/keys?x",
    ):
        for cursor in cursors:
            require_nothing_of(alice, *asked_by(eve, path + cursor))
    assert alice.payment_id in alice.ask("GET", PAYMENTS).body.decode()
    assert alice.key_payment_id in alice.ask("GET", "/api/v1/usage").body.decode()


def test_a_page_cursor_of_anothers_list_leads_to_ones_own_list(alice: Person, eve: Person) -> None:
    cursor = expect(alice.ask("GET", f"{PAYMENTS}?limit=1"), 200)["next_cursor"]

    page = expect(eve.ask("GET", f"{PAYMENTS}?cursor={cursor}"), 200)

    assert cursor
    assert {row["payment_id"] for row in page["payments"]} <= {eve.payment_id, eve.key_payment_id}


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("GET", "", None),
        ("GET", "/balance", None),
        ("POST", "/limits", {"limit_per_minute": 1}),
        ("POST", "/rotate", {"grace_seconds": 0}),
        ("DELETE", "", None),
    ],
)
def test_anothers_key_is_neither_shown_nor_changed(
    alice: Person, eve: Person, method: str, rest: str, body: Any
) -> None:
    path = f"{KEYS}/{alice.key_id}"
    before = expect(alice.ask("GET", path), 200)

    answers = asked_by(eve, path + rest, method, body)

    assert [answer.status for answer in answers][::2] == [404, 401]
    assert answers[1].status in (401, 403, 404)
    require_nothing_of(alice, *answers, named=alice.key_id)
    assert expect(alice.ask("GET", path), 200) == before | {"last_used_at": before["last_used_at"]}


def test_anothers_refund_is_not_found(alice: Person, eve: Person) -> None:
    answers = asked_by(eve, f"{REFUNDS}/{alice.refund_id}")

    assert answers[0].status == 404
    assert {answer.status for answer in answers} <= {401, 403, 404}
    require_nothing_of(alice, *answers, named=alice.refund_id)
    expect(alice.ask("GET", f"{REFUNDS}/{alice.refund_id}"), 200)


@pytest.mark.parametrize("step", ["", "detect-nfts", "select-nft", "personality", "credits", "complete"])
def test_anothers_onboarding_is_not_found(alice: Person, eve: Person, step: str) -> None:
    path = f"/api/v1/onboarding/{alice.session_id}"
    before = expect(alice.ask("GET", path), 200)
    bodies = {
        "select-nft": {"version": 1, "collection": "0x" + "11" * 20, "token_id": "1"},
        "personality": {"version": 1, "name": "Eve", "voice": "calm"},
    }

    body = bodies.get(step, {"version": before["version"]}) if step else None
    answers = asked_by(eve, f"{path}/{step}".rstrip("/"), "POST" if step else "GET", body)

    assert answers[0].status in ((404,) if step not in bodies else (404, 422))
    assert answers[2].status == 401
    require_nothing_of(alice, *answers, named=alice.session_id)
    assert expect(alice.ask("GET", path), 200) == before


def test_a_key_for_a_provider_is_its_accounts_own(
    alice: Person, eve: Person, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock():
        kept = OwnKey.objects.create(account_id=alice.account_id, upstream="demo", hint="zzzz", sealed=b"x")

    answers = asked_by(eve, f"/api/v1/byok/keys/{kept.pk}", "DELETE")

    assert [answer.status for answer in answers] == [404, 403, 401]
    with django_db_blocker.unblock():
        kept.refresh_from_db()
    assert kept.ended_at is None
    assert kept.pk in alice.ask("GET", "/api/v1/byok/keys").body.decode()


def test_an_idempotency_key_of_another_account_gets_nothing_of_it(alice: Person, eve: Person, site: LiveSite) -> None:
    chosen = {"Idempotency-Key": secrets.token_hex(16)}
    hers = expect(site.ask("POST", INVOKE, QUESTION, alice.key | chosen), 200)
    refunded = alice.ask("POST", "/api/v1/credits/refund", {}, **chosen)

    others = expect(site.ask("POST", INVOKE, QUESTION, eve.key | chosen), 200)
    refused = eve.ask("POST", "/api/v1/credits/refund", {}, **chosen)

    assert others["payment_id"] != hers["payment_id"]
    assert hers["payment_id"] not in site.ask("GET", PAYMENTS, None, eve.bearer).body.decode()
    require_nothing_of(alice, refused)
    assert refused.json().get("refund_id", "eve") != refunded.json().get("refund_id", "alice")
