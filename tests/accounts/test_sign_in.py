"""Sign-in with Ethereum: bound to this site, chain, moment and nonce; each message serves once (faults.md 63, 64)."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import Session, UsedNonce
from accounts.services import nonces, sessions
from accounts.services.errors import SessionRefused, SignInRefused
from tests.accounts.conftest import Signer

pytestmark = pytest.mark.django_db(transaction=True)


def verify(client: Client, body: object) -> Any:
    return client.post("/api/v1/auth/verify", data=json.dumps(body), content_type="application/json")


def test_a_wallet_signs_in_and_out(client: Client, signer: Signer) -> None:
    offered = client.get("/api/v1/auth/nonce")
    assert offered["Cache-Control"] == "private, no-store"
    parts = offered.json()
    answer = verify(client, signer.sign_in(nonce=parts["nonce"], uri=parts["uri"], domain=parts["domain"]))

    assert answer.status_code == 200
    pair = answer.json()
    assert (pair["wallet"], pair["token_type"]) == (signer.wallet, "Bearer")
    bearer = {"Authorization": f"Bearer {pair['access_token']}"}
    assert client.post("/api/v1/auth/logout", headers=bearer).status_code == 204
    again = client.post("/api/v1/auth/logout", headers=bearer)
    assert (again.status_code, again["Content-Type"]) == (401, "application/problem+json")


def test_asking_for_nonces_writes_nothing(client: Client) -> None:
    before = UsedNonce.objects.count()

    got = {client.get("/api/v1/auth/nonce").json()["nonce"] for _ in range(20)}

    assert len(got) == 20
    assert UsedNonce.objects.count() == before


def test_a_message_serves_once(client: Client, signer: Signer) -> None:
    body = signer.sign_in()
    assert verify(client, body).status_code == 200

    again = verify(client, body)

    assert (again.status_code, again.json()["code"]) == (401, "invalid_sign_in")


def test_of_twenty_that_race_with_one_message_one_gets_a_session(signer: Signer) -> None:
    body, outcomes, barrier = signer.sign_in(), [], threading.Barrier(20)

    def race() -> None:
        barrier.wait()
        try:
            sessions.sign_in(body["message"], body["signature"])
            outcomes.append("in")
        except SignInRefused:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["in"] + ["refused"] * 19
    assert Session.objects.filter(wallet=signer.wallet).count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": "evil.example"},
        {"domain": "testserver.evil.example"},
        {"domain": "xn--tstserver-o4a"},
        {"uri": "http://testserver/"},
        {"uri": "http://testserver/api/v1/auth/verify"},
        {"uri": "https://testserver"},
        {"scheme": "https"},
        {"chain_id": 1},
        {"nonce": "a" * 50},
        {"nonce": "abcdefgh"},
        {"issued_at": "2020-01-01T00:00:00Z"},
        {"issued_at": "2099-01-01T00:00:00Z"},
        {"expiration_time": "2020-01-01T00:00:00Z"},
        {"not_before": "2099-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_a_message_for_another_site_chain_or_moment_is_refused(
    client: Client, signer: Signer, changes: dict[str, object]
) -> None:
    answer = verify(client, signer.sign_in(**changes))

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_sign_in")
    assert Session.objects.filter(wallet=signer.wallet).count() == 0


def test_all_refusals_say_the_same_words(client: Client, signer: Signer) -> None:
    other = Signer()
    bodies = [
        signer.sign_in(domain="evil.example"),
        signer.sign_in(nonce="a" * 50),
        {**signer.sign_in(), "signature": other.sign_in()["signature"]},
        {**signer.sign_in(), "signature": "0x"},
    ]

    assert len({verify(client, body).json()["detail"] for body in bodies}) == 1


def test_a_refused_signature_does_not_use_up_the_nonce(client: Client, signer: Signer) -> None:
    body = signer.sign_in()
    verify(client, {**body, "signature": "0x" + "00" * 65})

    assert verify(client, body).status_code == 200


def test_a_nonce_ends_after_five_minutes(client: Client, signer: Signer) -> None:
    body = signer.sign_in()

    with time_machine.travel(timezone.now() + timedelta(seconds=301), tick=False):
        assert verify(client, body).status_code == 401


def test_a_nonce_for_one_request_does_not_sign_in(client: Client, signer: Signer) -> None:
    assert verify(client, signer.sign_in(nonce=nonces.issue("request x"))).status_code == 401


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "\n",
        lambda text: text.replace("Sign in to Loa.", "Sign in\nto Loa."),
        lambda text: text.replace("testserver wants", "testsеrver wants"),
        lambda text: text.replace("Chain ID: 84532", "Chain ID: 084532"),
        lambda text: "x" * 1500,
        lambda text: "(" * 1500,
        lambda text: "",
    ],
    ids=["crlf", "newline", "split", "homograph", "zero", "nonsense", "brackets", "empty"],
)
def test_a_text_that_is_not_exactly_a_message_is_refused_quickly(client: Client, signer: Signer, spoil: Any) -> None:
    text = spoil(signer.message().prepare_message())

    answer = verify(client, {"message": text, "signature": signer.sign(text)})

    assert answer.status_code in (401, 422)
    assert Session.objects.filter(wallet=signer.wallet).count() == 0


@pytest.mark.parametrize(
    "body", [[], {}, {"message": 1, "signature": []}, {"message": "x"}, {"message": "x" * 2000, "signature": "y"}, None]
)
def test_a_body_of_the_wrong_shape_is_refused(client: Client, body: object) -> None:
    answer = verify(client, body)

    assert answer.status_code in (400, 422)
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("v", [0, 1, 2, 26, 29, 255])
def test_a_signature_with_an_odd_recovery_byte_is_no_error_of_ours(client: Client, signer: Signer, v: int) -> None:
    body = signer.sign_in()

    answer = verify(client, {**body, "signature": body["signature"][:-2] + f"{v:02x}"})

    assert answer.status_code in (200, 401)


def test_tokens_are_stored_as_hashes_only(signer: Signer) -> None:
    pair = sessions.sign_in(text=(body := signer.sign_in())["message"], signature=body["signature"])

    row = Session.objects.values().get(wallet=signer.wallet)

    assert pair.access_token not in str(row)
    assert pair.refresh_token not in str(row)
    assert (len(row["token_hash"]), len(pair.access_token)) == (64, 46)


def test_a_session_ends_after_a_quarter_of_an_hour(signer: Signer) -> None:
    body = signer.sign_in()
    pair = sessions.sign_in(body["message"], body["signature"])
    assert sessions.signed_in(pair.access_token).wallet == signer.wallet

    with time_machine.travel(timezone.now() + timedelta(seconds=901), tick=False), pytest.raises(SessionRefused):
        sessions.signed_in(pair.access_token)


def test_a_refresh_replaces_the_pair(client: Client, signer: Signer) -> None:
    body = signer.sign_in()
    first = sessions.sign_in(body["message"], body["signature"])

    answer = client.post(
        "/api/v1/auth/refresh", data={"refresh_token": first.refresh_token}, content_type="application/json"
    )

    assert answer.status_code == 200
    assert sessions.signed_in(answer.json()["access_token"]).account_id == first.account_id
    with pytest.raises(SessionRefused):
        sessions.signed_in(first.access_token)


def test_a_refresh_token_that_comes_twice_ends_the_whole_sign_in(signer: Signer) -> None:
    body = signer.sign_in()
    first = sessions.sign_in(body["message"], body["signature"])
    second = sessions.refresh(first.refresh_token)

    with pytest.raises(SessionRefused):
        sessions.refresh(first.refresh_token)

    with pytest.raises(SessionRefused):
        sessions.signed_in(second.access_token)
    with pytest.raises(SessionRefused):
        sessions.refresh(second.refresh_token)


def test_a_refresh_token_is_no_bearer_token(signer: Signer) -> None:
    body = signer.sign_in()
    pair = sessions.sign_in(body["message"], body["signature"])

    with pytest.raises(SessionRefused):
        sessions.signed_in(pair.refresh_token)
    with pytest.raises(SessionRefused):
        sessions.refresh(pair.access_token)


def test_all_sessions_of_an_account_can_be_ended(signer: Signer) -> None:
    pairs = [sessions.sign_in(*signer.sign_in().values()) for _ in range(3)]

    assert sessions.revoke_account(pairs[0].account_id) == 3

    for pair in pairs:
        with pytest.raises(SessionRefused):
            sessions.signed_in(pair.access_token)


def test_the_sweep_forgets_what_has_ended_and_nothing_else(signer: Signer) -> None:
    with time_machine.travel(timezone.now() + timedelta(seconds=400), tick=False):
        nonces.sweep()  # what other tests left behind
    sessions.sign_in(*signer.sign_in().values())
    used = UsedNonce.objects.count()
    with time_machine.travel(timezone.now() + timedelta(seconds=400), tick=False):
        assert nonces.sweep() == 0
    assert UsedNonce.objects.count() == used

    with time_machine.travel(timezone.now() + timedelta(days=2), tick=False):
        assert nonces.sweep() >= 1
        assert sessions.sweep() >= 1

    assert Session.objects.filter(wallet=signer.wallet).count() == 0


def test_a_new_secret_key_still_knows_the_nonces_of_the_old_one(signer: Signer, settings: Settings) -> None:
    body = signer.sign_in()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another " + "k" * 50

    assert sessions.sign_in(body["message"], body["signature"]).wallet == signer.wallet


def test_the_eleventh_nonce_in_a_minute_has_to_wait(client: Client, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "RATE_LIMITS": {"sign_in": 10}, "REDIS_KEY_PREFIX": "nonce-limit:"}

    answers = [client.get("/api/v1/auth/nonce") for _ in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
    assert answers[-1].json()["code"] == "rate_limited"
