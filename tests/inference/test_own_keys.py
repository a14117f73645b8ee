"""Keys that buyers bring along: judged, sealed, counted, used, and never told to anybody (canary)."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Account
from accounts.services import sessions
from accounts.services.account_of_wallet import account_id_of_wallet
from inference.models import CallUsage, OwnKey, OwnKeyUse
from inference.models.own_keys import new_own_key_id
from inference.services import gate_probes, own_keys, secret_box
from inference.services.own_keys import OwnKeyError
from inference.services.secret_box import BoxUnusable
from tests.inference.callers import Caller
from tests.inference.serving import ScriptedUpstream, chunk, open_stream

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "sk-canary-" + "c4n4ry" * 6
VALIDATE, KEYS, USAGE = "/api/v1/byok/validate", "/api/v1/byok/keys", "/api/v1/usage"
CHAT: dict[str, Any] = {"model": "loa-demo", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


class Owner:
    """A signed-in wallet."""

    def __init__(self) -> None:
        self.wallet = "0x" + secrets.token_hex(20)
        self.account_id = account_id_of_wallet(self.wallet)
        self.token = sessions._begin(self.wallet, self.account_id, family=None).access_token

    def ask(self, method: str, path: str, document: Any = None, **query: str) -> Any:
        send = getattr(Client(), method)
        headers = {"Authorization": f"Bearer {self.token}"}
        if document is None:
            return send(path, query or None, headers=headers)
        return send(path, data=json.dumps(document), content_type="application/json", headers=headers)


@pytest.fixture
def owner() -> Owner:
    return Owner()


def knows(*keys: str) -> Any:
    """An upstream that knows these keys, and answers chats of theirs."""

    def answer(handler: Any, asked: Any) -> None:
        if handler.headers.get("Authorization", "").removeprefix("Bearer ") not in keys:
            handler.send_response(401)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        elif asked is None:
            handler.send_response(200)
            handler.send_header("Content-Length", "2")
            handler.end_headers()
            handler.wfile.write(b"{}")
        elif asked["stream"]:
            open_stream(handler)
            handler.wfile.write(chunk("Hi", finish_reason="stop") + b"data: [DONE]\n\n")
        else:
            body = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}).encode()
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

    return answer


def chat(caller: Caller, key_id: str, **changes: Any) -> Any:
    return Client().post(
        "/v1/chat/completions",
        data=json.dumps(CHAT | {"loa_upstream_key": key_id} | changes),
        content_type="application/json",
        headers={"Authorization": f"Bearer {caller.secret}"},
    )


def kept(caller: Caller, **more: Any) -> OwnKey:
    return own_keys.keep(caller.account_id, own_keys.NewKey("demo", CANARY, **more))


def test_a_provider_says_whether_it_knows_a_key_and_nothing_is_kept(
    owner: Owner, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    scripted(knows(CANARY))

    good = owner.ask("post", VALIDATE, {"upstream": "demo", "key": CANARY})
    bad = owner.ask("post", VALIDATE, {"upstream": "demo", "key": "sk-other"})

    assert (good.status_code, good.json()) == (200, {"upstream": "demo", "valid": True})
    assert (bad.status_code, bad.json()) == (200, {"upstream": "demo", "valid": False})
    assert not OwnKey.objects.filter(account_id=owner.account_id).exists()


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        ({"upstream": "http://169.254.169.254/", "key": "x"}, 422, "unknown_upstream"),
        ({"upstream": "demo"}, 422, "invalid_parameters"),
        ({"upstream": "demo", "key": "a\r\nX-Evil: 1"}, 422, "invalid_parameters"),
        ({"upstream": "demo", "key": "x" * 501}, 422, "invalid_parameters"),
        ({"upstream": "demo", "key": "x", "url": "http://10.0.0.1"}, 422, "invalid_parameters"),
    ],
)
def test_what_cannot_be_asked_about_is_refused(owner: Owner, document: Any, status: int, code: str) -> None:
    refused = owner.ask("post", VALIDATE, document)

    assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_keys_are_asked_about_only_by_those_who_signed_in_and_not_too_often(owner: Owner, settings: Any) -> None:
    settings.LOA = settings.LOA | {"RATE_LIMITS": {"own_key": 2}}
    document = {"upstream": "demo", "key": "x"}

    anonymous = Client().post(VALIDATE, data=json.dumps(document), content_type="application/json")
    statuses = [owner.ask("post", VALIDATE, document).status_code for _ in range(3)]

    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "authentication_required")
    assert statuses == [200, 200, 429]


def test_a_key_is_kept_sealed_listed_without_its_secret_and_gone_when_it_is_ended(
    owner: Owner, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    scripted(knows(CANARY))

    made = owner.ask("post", KEYS, {"upstream": "demo", "key": CANARY, "name": "mine", "daily_limit": 7})
    listed = owner.ask("get", KEYS)
    row = OwnKey.objects.get(pk=made.json()["id"])
    sealed = bytes(row.sealed)
    ended = owner.ask("delete", f"{KEYS}/{row.pk}")

    assert (made.status_code, made.json()["hint"], made.json()["daily_limit"]) == (201, CANARY[-4:], 7)
    assert CANARY not in made.content.decode() + listed.content.decode()
    assert [key["id"] for key in listed.json()["keys"]] == [row.pk]
    assert CANARY.encode() not in sealed
    assert secret_box.unseal(sealed, context=f"{owner.account_id}/{row.pk}") == CANARY
    assert ended.status_code == 204
    row.refresh_from_db()
    assert bytes(row.sealed) == b""
    assert owner.ask("get", KEYS).json() == {"keys": []}
    assert owner.ask("delete", f"{KEYS}/{row.pk}").status_code == 404


def test_a_key_the_provider_refuses_is_not_kept(owner: Owner, scripted: Callable[[Any], ScriptedUpstream]) -> None:
    scripted(knows())

    refused = owner.ask("post", KEYS, {"upstream": "demo", "key": CANARY})

    assert (refused.status_code, refused.json()["code"]) == (422, "own_key_invalid")
    assert not OwnKey.objects.filter(account_id=owner.account_id).exists()


def test_nobody_ends_or_uses_the_key_of_another(
    owner: Owner, caller: Caller, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    scripted(knows(CANARY))
    theirs = owner.ask("post", KEYS, {"upstream": "demo", "key": CANARY}).json()["id"]
    other = Owner()

    assert other.ask("delete", f"{KEYS}/{theirs}").status_code == 404
    used, absent = chat(caller, theirs), chat(caller, new_own_key_id())

    told = [{name: answer.json()[name] for name in ("code", "detail", "status", "error")} for answer in (used, absent)]
    assert (used.status_code, told[0]["code"]) == (422, "unknown_own_key")
    assert told[0] == told[1]
    assert (caller.balance, caller.held, caller.payments) == (100_000, 0, [])
    assert not OwnKeyUse.objects.filter(key_id=theirs).exists()


def test_whoever_proves_no_account_is_told_nothing_about_any_key(
    owner: Owner, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    scripted(knows(CANARY))
    theirs = owner.ask("post", KEYS, {"upstream": "demo", "key": CANARY, "daily_limit": 1}).json()["id"]
    OwnKeyUse.objects.create(key_id=theirs, day=timezone.now().date(), calls=1)

    def unpaid(key_id: str) -> Any:
        return Client().post(
            "/v1/chat/completions",
            data=json.dumps(CHAT | {"loa_upstream_key": key_id}),
            content_type="application/json",
        )

    answers = [unpaid(key_id) for key_id in (theirs, new_own_key_id())]

    amounts = [answer.json()["accepts"][0]["maxAmountRequired"] for answer in answers]
    assert [answer.status_code for answer in answers] == [402, 402]
    assert amounts[0] == amounts[1]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_call_with_an_own_key_costs_the_fee_and_its_tokens_are_the_providers(
    caller: Caller, scripted: Callable[[Any], ScriptedUpstream], is_stream: bool
) -> None:
    upstream = scripted(knows(CANARY))
    row = kept(caller)

    answer = chat(caller, row.pk, stream=is_stream)
    body = b"".join(answer) if is_stream else answer.content

    assert answer.status_code == 200, body
    assert b"Hi" in body
    assert upstream.keys[-1] == f"Bearer {CANARY}"
    assert caller.balance == 100_000 - 200
    usage = CallUsage.objects.get(account_id=caller.account_id)
    assert (usage.has_own_key, usage.charged_micro_usdc) == (True, 200)
    assert own_keys.calls_today(row) == 1


def test_a_key_that_its_provider_no_longer_knows_costs_nothing(
    caller: Caller, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    known = [CANARY]
    scripted(lambda handler, asked: knows(*known)(handler, asked))
    row = kept(caller)
    known.clear()

    answer = chat(caller, row.pk)

    assert answer.status_code == 502
    assert (caller.balance, caller.held) == (100_000, 0)


def test_a_call_beyond_the_daily_limit_is_refused_before_it_is_paid(
    caller: Caller, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    upstream = scripted(knows(CANARY))
    row = kept(caller, daily_limit=2)
    for _ in range(2):
        assert chat(caller, row.pk).status_code == 200

    refused = chat(caller, row.pk)

    assert (refused.status_code, refused.json()["code"]) == (429, "own_key_limit_reached")
    assert len(caller.payments) == 2
    assert len(upstream.asked) == 2
    with pytest.raises(OwnKeyError):
        own_keys.take(row.pk, account_id=caller.account_id)
    assert own_keys.calls_today(row) == 2


def test_a_key_that_does_not_exist_is_refused_before_a_price_is_named(caller: Caller) -> None:
    refused = chat(caller, "byk_nobodys")

    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_own_key")
    assert refused.json()["error"]["param"] == "loa_upstream_key"
    assert caller.payments == []


def test_a_sealed_key_opens_only_in_its_own_row_and_with_its_own_key(settings: Any, tmp_path: Path) -> None:
    sealed = secret_box.seal(CANARY, context="a/1")
    key_file = tmp_path / "key"
    key_file.write_text("ab" * 32 + "\n")

    with pytest.raises(BoxUnusable):
        secret_box.unseal(sealed, context="a/2")
    settings.LOA = settings.LOA | {"OWN_KEY_ENCRYPTION": f"file:{key_file}"}
    with pytest.raises(BoxUnusable):
        secret_box.unseal(sealed, context="a/1")
    assert secret_box.unseal(secret_box.seal(CANARY, context="a/1"), context="a/1") == CANARY
    settings.LOA = settings.LOA | {"OWN_KEY_ENCRYPTION": f"file:{tmp_path / 'absent'}"}
    with pytest.raises(BoxUnusable):
        secret_box.seal(CANARY, context="a/1")


def test_a_canary_key_is_in_no_log_no_answer_and_no_row(
    owner: Owner,
    scripted: Callable[[Any], ScriptedUpstream],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    known = [CANARY]
    scripted(lambda handler, asked: knows(*known)(handler, asked))
    answers = [owner.ask("post", VALIDATE, {"upstream": "demo", "key": CANARY})]
    answers += [owner.ask("post", KEYS, {"upstream": "demo", "key": CANARY, "name": 5, "extra": CANARY})]
    made = owner.ask("post", KEYS, {"upstream": "demo", "key": CANARY})
    answers += [made, owner.ask("get", KEYS)]
    opened = own_keys.take(made.json()["id"], account_id=owner.account_id)
    known.clear()
    answers += [owner.ask("post", KEYS, {"upstream": "demo", "key": CANARY})]

    told = caplog.text + "".join(capfd.readouterr()) + repr(opened) + repr(own_keys.NewKey("demo", CANARY))
    assert CANARY not in told
    assert all(CANARY not in answer.content.decode() for answer in answers)
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM inference_ownkey t")
        rows = str(cursor.fetchall())
    assert CANARY not in rows
    assert CANARY.encode().hex() not in rows


def test_usage_is_told_by_day_and_call_by_call(caller: Caller) -> None:
    for number in range(3):
        document = CHAT | {"messages": [{"role": "user", "content": f"Hello {number}"}]}
        Client().post(
            "/v1/chat/completions",
            data=json.dumps(document),
            content_type="application/json",
            headers={"Authorization": f"Bearer {caller.secret}"},
        )

    told = Client().get(USAGE, headers={"Authorization": f"Bearer {caller.secret}"}).json()

    [day] = told["days"]
    assert (day["model"], day["calls"]) == ("loa-demo", 3)
    assert day["charged_micro_usdc"] == str(100_000 - caller.balance)
    assert [call["payment_id"] for call in told["calls"]] == [payment.pk for payment in reversed(caller.payments)]
    assert sum(call["output_tokens"] for call in told["calls"]) == day["output_tokens"]
    assert told["next_cursor"] is None


def test_usage_is_the_askers_own_and_its_days_make_sense(owner: Owner, caller: Caller) -> None:
    assert Account.objects.filter(pk=caller.account_id).exists()
    assert owner.ask("get", USAGE).json()["calls"] == []
    assert Client().get(USAGE).status_code == 401
    for bad in ({"first_day": "soon"}, {"first_day": "2026-13-01"}, {"first_day": "2020-01-01"}, {"cursor": "x"}):
        assert owner.ask("get", USAGE, **bad).status_code in (400, 422)


def test_the_gates_probe_holds() -> None:
    assert gate_probes.byok_validation()["unknown_provider"] == "unknown_upstream"
