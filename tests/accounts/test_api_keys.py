"""API keys: shown once, stored as an HMAC, bounded, rotated with a grace, revoked at once (attack 22, rule R34)."""

import json
import statistics
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import ApiKey, AuditEvent
from accounts.services import api_keys, sessions
from accounts.services.api_keys import KeyTerms
from accounts.services.errors import KeyRefused
from tests.accounts.conftest import Signer

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = "/api/v1/keys"


class Owner:
    """A signed-in wallet that calls the endpoints."""

    def __init__(self) -> None:
        signer = Signer()
        body = signer.sign_in()
        self.pair = sessions.sign_in(body["message"], body["signature"])
        self.client = Client(headers={"Authorization": f"Bearer {self.pair.access_token}"})

    def post(self, path: str, body: object = None) -> Any:
        return self.client.post(path, json.dumps({} if body is None else body), content_type="application/json")

    def create(self, **terms: object) -> dict[str, Any]:
        answer = self.post(KEYS, terms)
        assert answer.status_code == 201, answer.content
        return dict(answer.json())


def with_key(key: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def owner() -> Owner:
    return Owner()


def test_a_key_is_shown_once_and_stored_as_its_hmac(owner: Owner) -> None:
    made = owner.create(name="crawler")

    row = ApiKey.objects.get(pk=made["key_id"])
    assert made["key"].startswith("dk_test_")
    assert len(made["key"]) == len("dk_test_") + 43
    assert made["key"] not in {str(value) for value in vars(row).values()}
    assert "key" not in owner.client.get(f"{KEYS}/{made['key_id']}").json()
    assert owner.client.get(KEYS).json()["keys"][0]["hint"] == f"dk_test_…{made['key'][-4:]}"
    assert api_keys.authenticate(made["key"]).account_id == owner.pair.account_id


def test_no_answer_with_a_key_is_cached(owner: Owner) -> None:
    made = owner.post(KEYS)

    assert made["Cache-Control"] == "private, no-store"


def test_a_revoked_key_is_refused_by_the_very_next_request(owner: Owner) -> None:
    made = owner.create()
    balance = f"{KEYS}/{made['key_id']}/balance"
    assert with_key(made["key"]).get(balance).status_code == 200

    assert owner.client.delete(f"{KEYS}/{made['key_id']}").status_code == 204

    refused = with_key(made["key"]).get(balance)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_api_key")
    assert owner.client.delete(f"{KEYS}/{made['key_id']}").status_code == 204
    assert AuditEvent.objects.filter(subject=made["key_id"], action="api_key.revoked").count() == 1


@pytest.mark.parametrize(
    "token",
    ["dk_", "dk_test_", "dk_test_" + "A" * 43, "dk_live_" + "A" * 43, "dk_test_" + "é" * 43, "dk_test_" + "A" * 9_000],
)
def test_what_is_no_key_of_ours_is_401(owner: Owner, token: str) -> None:
    with pytest.raises(KeyRefused):
        api_keys.authenticate(token)


def test_every_refused_key_is_told_the_same_words_and_takes_the_same_time(owner: Owner) -> None:
    made = owner.create()
    owner.client.delete(f"{KEYS}/{made['key_id']}")
    near = made["key"][:-1] + ("A" if made["key"][-1] != "A" else "B")
    far = "dk_test_" + "A" * 43
    times: dict[str, list[int]] = {made["key"]: [], near: [], far: []}
    words = set()

    for _ in range(200):
        for token, taken in times.items():
            started = time.perf_counter_ns()
            with pytest.raises(KeyRefused) as refused:
                api_keys.authenticate(token)
            taken.append(time.perf_counter_ns() - started)
            words.add(refused.value.detail)

    assert len(words) == 1
    medians = sorted(statistics.median(taken) for taken in times.values())
    assert medians[-1] < 3 * medians[0], "a hash is looked up, whatever of a key is right"


def test_a_key_of_the_other_kind_of_deployment_is_refused(owner: Owner, settings: Settings) -> None:
    made = owner.create()
    settings.LOA = {**settings.LOA, "ENVIRONMENT": "production"}

    with pytest.raises(KeyRefused):
        api_keys.authenticate(made["key"])


def test_a_rotated_key_works_until_its_grace_ends_and_shares_its_family(owner: Owner) -> None:
    old = owner.create(daily_cap_micro_usd="5000", limit_per_minute=7)

    new = owner.post(f"{KEYS}/{old['key_id']}/rotate", {"grace_seconds": 60}).json()

    before, after = api_keys.authenticate(old["key"]), api_keys.authenticate(new["key"])
    assert before.family == after.family == old["key_id"]
    assert (after.daily_cap_micro_usd, after.limit_per_minute) == (5_000, 7)
    with time_machine.travel(timezone.now() + timedelta(seconds=61)):
        assert api_keys.authenticate(new["key"]).key_id == new["key_id"]
        with pytest.raises(KeyRefused):
            api_keys.authenticate(old["key"])


def test_a_revoked_key_cannot_be_rotated_back_to_life(owner: Owner) -> None:
    made = owner.create()
    owner.client.delete(f"{KEYS}/{made['key_id']}")

    answer = owner.post(f"{KEYS}/{made['key_id']}/rotate")

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")


def test_a_rotation_without_grace_ends_the_old_key_at_once(owner: Owner) -> None:
    old = owner.create()

    owner.post(f"{KEYS}/{old['key_id']}/rotate", {"grace_seconds": 0})

    with pytest.raises(KeyRefused):
        api_keys.authenticate(old["key"])


def test_a_key_moves_to_a_new_pepper_when_it_is_used(owner: Owner, settings: Settings) -> None:
    used, unused = owner.create()["key"], owner.create()["key"]
    first = settings.LOA["API_KEY_PEPPER"]
    settings.LOA = {**settings.LOA, "API_KEY_PEPPER": "55" * 32, "API_KEY_PEPPERS_RETIRED": (first,)}
    api_keys.authenticate(used)

    settings.LOA = {**settings.LOA, "API_KEY_PEPPERS_RETIRED": ()}

    assert api_keys.authenticate(used).account_id == owner.pair.account_id
    with pytest.raises(KeyRefused):
        api_keys.authenticate(unused)


def test_one_account_never_meets_another_ones_key(owner: Owner) -> None:
    made, other = owner.create(), Owner()
    path = f"{KEYS}/{made['key_id']}"

    answers = [
        other.client.get(path),
        other.client.delete(path),
        other.post(f"{path}/rotate"),
        other.post(f"{path}/limits", {"daily_cap_micro_usd": None}),
        other.client.get(f"{path}/balance"),
        with_key(other.create()["key"]).get(f"{path}/balance"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404, 404, 404, 403]
    assert {answer.json()["code"] for answer in answers[:5]} == {"key_not_found"}
    assert api_keys.authenticate(made["key"]).key_id == made["key_id"]
    assert made["key_id"] not in other.client.get(KEYS).content.decode()


def test_a_key_cannot_make_change_or_end_keys(owner: Owner) -> None:
    made = owner.create()
    client, path = with_key(made["key"]), f"{KEYS}/{made['key_id']}"

    answers = [
        client.get(KEYS),
        client.post(KEYS, "{}", content_type="application/json"),
        client.delete(path),
        client.post(f"{path}/rotate", "{}", content_type="application/json"),
        client.post(f"{path}/limits", "{}", content_type="application/json"),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "forbidden")}


def test_nobody_signed_in_is_401(client: Client) -> None:
    assert client.get(KEYS).json()["code"] == "authentication_required"
    assert client.post(KEYS, "{}", content_type="application/json").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {"daily_cap_micro_usd": "0"},
        {"daily_cap_micro_usd": "-5"},
        {"daily_cap_micro_usd": 5},
        {"daily_cap_micro_usd": "1e3"},
        {"daily_cap_micro_usd": "٥"},
        {"daily_cap_micro_usd": "9" * 30},
        {"limit_per_minute": 0},
        {"limit_per_minute": "60"},
        {"limit_per_minute": True},
        {"limit_per_minute": 1.5},
        {"limit_per_minute": 2**70},
        {"scopes": []},
        {"scopes": ["root"]},
        {"scopes": "pay"},
        {"name": "x" * 81},
        {"name": "two\nlines"},
        {"name": "nul\u0000"},
        {"name": {"a": 1}},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "soon"},
        {"daily_cap": "5"},
        [],
        "text",
        None,
        7,
    ],
    ids=str,
)
def test_a_bad_body_is_422_and_makes_no_key(owner: Owner, body: object) -> None:
    sent = "null" if body is None else json.dumps(body)

    answer = owner.client.post(KEYS, sent, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameters")
    assert ApiKey.objects.filter(account_id=owner.pair.account_id).count() == 0


@pytest.mark.parametrize("key_id", ["x", "key_", "key_" + "0" * 300, "%00", "..", "🗝"])
def test_an_odd_id_is_404(owner: Owner, key_id: str) -> None:
    assert owner.client.get(f"{KEYS}/{key_id}").status_code == 404


def test_keys_are_listed_in_pages(owner: Owner, settings: Settings) -> None:
    for _ in range(49):
        api_keys.create(owner.pair.account_id, created_by=owner.pair.wallet)
    first = owner.create()
    too_many = owner.post(KEYS)
    api_keys.revoke(owner.pair.account_id, first["key_id"], revoked_by=owner.pair.wallet)
    owner.create()

    page = owner.client.get(KEYS).json()
    rest = owner.client.get(f"{KEYS}?cursor={page['next_cursor']}").json()

    assert (too_many.status_code, too_many.json()["code"]) == (409, "too_many_keys")
    assert (len(page["keys"]), len(rest["keys"]), rest["next_cursor"]) == (50, 1, None)
    assert owner.client.get(f"{KEYS}?cursor=%00").json()["code"] == "invalid_cursor"


def test_a_key_that_asks_too_often_is_429_and_a_rotation_does_not_double_its_limit(
    owner: Owner, settings: Settings
) -> None:
    settings.LOA = {**settings.LOA, "RATE_LIMITS": {"key": 3}}
    old = owner.create()
    new = owner.post(f"{KEYS}/{old['key_id']}/rotate").json()

    answers = [with_key(made["key"]).get(f"{KEYS}/{made['key_id']}/balance") for made in (old, old, new, new)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1]["Retry-After"]) >= 1


def test_without_redis_the_limit_is_counted_in_the_process(owner: Owner, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": "", "RATE_LIMITS": {"key": 2}}
    made = owner.create()

    statuses = [with_key(made["key"]).get(f"{KEYS}/{made['key_id']}/balance").status_code for _ in range(3)]

    assert statuses == [200, 200, 429]


def test_a_limit_of_its_own_never_exceeds_the_sites(owner: Owner, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "RATE_LIMITS": {"key": 60}}

    assert api_keys.authenticate(owner.create(limit_per_minute=1_000)["key"]).limit_per_minute == 60
    assert api_keys.authenticate(owner.create(limit_per_minute=5)["key"]).limit_per_minute == 5
    assert api_keys.authenticate(owner.create()["key"]).limit_per_minute == 60


def test_of_many_at_once_a_daily_cap_admits_what_fits(owner: Owner) -> None:
    _, secret = api_keys.create(
        owner.pair.account_id, created_by=owner.pair.wallet, terms=KeyTerms(daily_cap_micro_usd=1_000)
    )
    holder, taken, barrier = api_keys.authenticate(secret), [], threading.Barrier(16)

    def take() -> None:
        barrier.wait()
        with transaction.atomic():
            taken.append(api_keys.take_from_cap(holder, amount_micro_usd=300, at=timezone.now()))
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert taken.count(True) == 3
    assert api_keys.spent_today(holder.family) == 900


def test_a_scope_is_needed_to_read_the_balance(owner: Owner) -> None:
    made = owner.create(scopes=["pay"])

    answer = with_key(made["key"]).get(f"{KEYS}/{made['key_id']}/balance")

    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


def test_a_wallet_makes_no_more_keys_a_minute_than_its_limit(owner: Owner, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "RATE_LIMITS": {"wallet": 2}}

    statuses = [owner.post(KEYS).status_code for _ in range(3)]

    assert statuses == [201, 201, 429]


def test_a_key_has_no_scope_nobody_asked_for(owner: Owner) -> None:
    assert owner.create()["scopes"] == ["pay", "read"]
    assert owner.create(scopes=["facilitate", "facilitate"])["scopes"] == ["facilitate"]


def test_limits_change_with_the_next_request(owner: Owner) -> None:
    made = owner.create(daily_cap_micro_usd="1000")

    answer = owner.post(f"{KEYS}/{made['key_id']}/limits", {"daily_cap_micro_usd": "2500", "limit_per_minute": 9})

    assert answer.json()["daily_cap_micro_usd"] == "2500"
    assert api_keys.authenticate(made["key"]).daily_cap_micro_usd == 2_500
    assert with_key(made["key"]).get(f"{KEYS}/{made['key_id']}/balance").json() == {
        "key_id": made["key_id"],
        "balance_micro_usd": "0",
        "held_micro_usd": "0",
        "daily_cap_micro_usd": "2500",
        "spent_today_micro_usd": "0",
        "spendable_micro_usd": "0",
        "limit_per_minute": 9,
    }
