"""Feature flags and the allowlist: by service, over HTTP, and what is written down about every change."""

import secrets
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from accounts.models import AllowlistEntry, AuditEvent, FeatureFlag
from accounts.services import allowlist, feature_flags, gate_probes
from accounts.services.allowlist import InvalidChange
from accounts.services.feature_flags import InvalidFlag, Setting, UnknownFlag

pytestmark = pytest.mark.django_db(transaction=True)

FLAGS = "/api/v1/admin/feature-flags"
LIST = "/api/v1/admin/allowlist"


@pytest.fixture(autouse=True)
def _whole_site(settings: Any) -> None:
    """The switches are mounted beside the admin."""
    settings.ROOT_URLCONF = "loa_site.urls"


@pytest.fixture(autouse=True)
def _flags_as_before() -> Any:
    feature_flags.forget_snapshot()
    before = {
        row.name: Setting(row.is_enabled, row.percentage, tuple(row.subjects)) for row in FeatureFlag.objects.all()
    }
    yield
    for name, setting in before.items():
        feature_flags.set_flag(name, setting, actor="test", reason="as before")


def wallet() -> str:
    return "0x" + secrets.token_hex(20)


def staff(*permissions: str, is_superuser: bool = False) -> Client:
    user = User.objects.create(username=secrets.token_hex(8), is_staff=True, is_superuser=is_superuser)
    for name in permissions:
        app, codename = name.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(user)
    return client


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(path, data=body, content_type="application/json")


def test_what_is_built_is_on_and_what_nobody_set_is_off() -> None:
    assert {row.name: row.is_enabled for row in feature_flags.all_flags()} == dict.fromkeys(feature_flags.FLAGS, True)
    FeatureFlag.objects.filter(name="nft").delete()
    feature_flags.forget_snapshot()

    assert not feature_flags.is_enabled("nft")
    feature_flags.set_flag("nft", Setting(True), actor="test", reason="back")
    assert feature_flags.is_enabled("nft")


def test_a_name_that_does_not_exist_switches_nothing() -> None:
    with pytest.raises(UnknownFlag):
        feature_flags.is_enabled("onbording")
    with pytest.raises(UnknownFlag):
        feature_flags.set_flag("onbording", Setting(True), actor="test", reason="a misspelling")

    assert not FeatureFlag.objects.filter(name="onbording").exists()


def test_a_percentage_is_the_same_subjects_every_time_and_only_grows() -> None:
    subjects = [wallet() for _ in range(400)]

    def on(percentage: int) -> set[str]:
        feature_flags.set_flag("nft", Setting(True, percentage), actor="test", reason="some")
        return {one for one in subjects if feature_flags.is_enabled("nft", subject=one)}

    none, some, more, everyone = on(0), on(25), on(60), on(100)

    assert none == set()
    assert some < more < everyone == set(subjects)
    assert 60 <= len(some) <= 140
    assert on(25) == some


def test_a_subject_that_is_named_is_in_whatever_the_percentage() -> None:
    named = wallet()
    feature_flags.set_flag("nft", Setting(True, 0, (named.upper().replace("X", "x"),)), actor="test", reason="a tester")

    assert feature_flags.is_enabled("nft", subject=named)
    assert not feature_flags.is_enabled("nft", subject=wallet())
    assert not feature_flags.is_enabled("nft")


@pytest.mark.parametrize(
    ("setting", "reason"),
    [(Setting(True, 101), "x"), (Setting(True, -1), "x"), (Setting(True), " "), (Setting(True, 1, ("",)), "x")],
)
def test_a_change_that_makes_no_sense_changes_nothing(setting: Setting, reason: str) -> None:
    with pytest.raises(InvalidFlag):
        feature_flags.set_flag("nft", setting, actor="test", reason=reason)

    assert feature_flags.is_enabled("nft")


def test_a_change_is_written_down_with_who_and_why() -> None:
    feature_flags.set_flag("x402", Setting(False), actor="ann", reason="Gate 2: payments off")

    event = AuditEvent.objects.filter(action="feature_flag.changed", subject="x402").order_by("-id")[0]
    assert (event.actor, event.reason) == ("ann", "Gate 2: payments off")
    assert event.facts["after"] == {"is_enabled": False, "percentage": 100, "subjects": []}


def test_the_gates_probe_changes_nothing() -> None:
    assert gate_probes.feature_flags() == {"flags": dict.fromkeys(feature_flags.FLAGS, True)}
    assert {row.is_enabled for row in feature_flags.all_flags()} == {True}


def test_addresses_are_let_in_in_any_spelling_and_what_is_none_is_named() -> None:
    first, second = wallet(), wallet()

    done = allowlist.add(
        [first.upper().replace("X", "x"), second[2:], first, "vitalik.eth"], actor="ann", reason="beta"
    )

    assert (done.count, done.invalid) == (2, ("vitalik.eth",))
    assert allowlist.is_allowed(first)
    assert allowlist.is_allowed(second.upper().replace("X", "x"))
    assert not allowlist.is_allowed(wallet())
    assert not allowlist.is_allowed("nobody")


def test_an_entry_ends_when_it_says_and_may_be_renewed() -> None:
    one = wallet()
    allowlist.add([one], actor="ann", reason="a day", expires_at=timezone.now() + timedelta(days=1))
    AllowlistEntry.objects.filter(address=one).update(expires_at=timezone.now())

    assert not allowlist.is_allowed(one)
    allowlist.add([one], actor="bob", reason="for good")
    assert allowlist.is_allowed(one)
    assert AllowlistEntry.objects.get(address=one).added_by == "bob"


def test_a_wallet_of_the_settings_is_in_without_a_row(settings: Any) -> None:
    one = wallet()
    settings.LOA = settings.LOA | {"BETA_BYPASS_ADDRESSES": (one,)}

    assert allowlist.is_allowed(one)
    assert not AllowlistEntry.objects.filter(address=one).exists()


@pytest.mark.parametrize("reason", ["", "x" * 501])
def test_a_change_of_the_list_needs_a_reason(reason: str) -> None:
    one = wallet()
    with pytest.raises(InvalidChange):
        allowlist.add([one], actor="ann", reason=reason)

    assert not allowlist.is_allowed(one)


def test_too_many_addresses_and_an_end_in_the_past_are_refused() -> None:
    with pytest.raises(InvalidChange):
        allowlist.add([wallet() for _ in range(1_001)], actor="ann", reason="all")
    with pytest.raises(InvalidChange):
        allowlist.add([wallet()], actor="ann", reason="late", expires_at=timezone.now())


def test_staff_read_and_set_flags_over_http() -> None:
    client = staff("accounts.view_featureflag", "accounts.change_featureflag")

    listed = client.get(FLAGS)
    changed = post(client, FLAGS, name="nft", is_enabled=True, percentage=10, reason="slowly")

    assert listed.status_code == 200, listed.content
    assert [flag["name"] for flag in listed.json()["flags"]] == sorted(feature_flags.FLAGS)
    assert listed["Cache-Control"] == "private, no-store"
    assert (changed.status_code, changed.json()["percentage"]) == (200, 10)
    assert FeatureFlag.objects.get(name="nft").percentage == 10


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "no-such-flag", "is_enabled": True, "reason": "x"}, 404, "unknown_flag"),
        ({"name": "nft", "is_enabled": True}, 422, "invalid_parameters"),
        ({"name": "nft", "is_enabled": True, "percentage": "10", "reason": "x"}, 422, "invalid_parameters"),
        ({"name": "nft", "is_enabled": True, "percentage": 101, "reason": "x"}, 422, "invalid_parameters"),
        ({"name": "nft", "is_enabled": True, "reason": "x", "percent": 5}, 422, "invalid_parameters"),
    ],
)
def test_bad_flags_are_refused_over_http(body: dict[str, Any], status: int, code: str) -> None:
    refused = post(staff(is_superuser=True), FLAGS, **body)

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert feature_flags.is_enabled("nft")


def test_staff_change_the_list_over_http_in_bulk() -> None:
    client, wallets = staff(is_superuser=True), [wallet() for _ in range(250)]

    added = post(client, LIST, action="add", addresses=[*wallets, "junk"], reason="wave 1")
    pages = [client.get(LIST).json()]
    while pages[-1]["next_cursor"]:
        pages.append(client.get(LIST, {"cursor": pages[-1]["next_cursor"]}).json())
    removed = post(client, LIST, action="remove", addresses=wallets[:5], reason="left")

    assert added.json() == {"added": 250, "removed": 0, "invalid": ["junk"]}
    assert set(wallets) <= {entry["address"] for page in pages for entry in page["entries"]}
    assert all(len(page["entries"]) <= 100 for page in pages)
    assert removed.json() == {"added": 0, "removed": 5, "invalid": []}
    assert [allowlist.is_allowed(one) for one in wallets[:6]] == [False] * 5 + [True]


@pytest.mark.parametrize("path", [FLAGS, LIST])
def test_the_switches_are_for_staff_with_the_permission(path: str) -> None:
    outsider = Client()
    plain = User.objects.create(username=secrets.token_hex(8))
    outsider.force_login(plain)

    assert Client().get(path).status_code == 401
    assert outsider.get(path).status_code == 403
    assert staff().get(path).status_code == 403
    assert post(staff("accounts.view_featureflag", "accounts.view_allowlistentry"), path).status_code == 403


def test_a_change_from_a_session_needs_the_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create(username=secrets.token_hex(8), is_staff=True, is_superuser=True))

    refused = post(client, FLAGS, name="nft", is_enabled=False, reason="forged")

    assert refused.status_code == 403
    assert feature_flags.is_enabled("nft")


def test_the_admin_pages_switch_and_let_in_through_the_services() -> None:
    client, one, two = staff(is_superuser=True), wallet(), wallet()

    flag = client.post(
        "/admin/accounts/featureflag/nft/change/", {"percentage": 5, "subjects": "[]", "reason": "slowly"}
    )
    added = client.post("/admin/accounts/allowlistentry/add/", {"addresses": f"{one}\n{two}, junk", "reason": "wave 2"})

    assert (flag.status_code, added.status_code) == (302, 302)
    assert not feature_flags.is_enabled("nft")
    assert AuditEvent.objects.filter(action="feature_flag.changed", reason="slowly").exists()
    assert allowlist.is_allowed(one)
    assert allowlist.is_allowed(two)
    assert client.get("/admin/accounts/allowlistentry/").status_code == 200
    assert client.get("/admin/accounts/featureflag/").status_code == 200
