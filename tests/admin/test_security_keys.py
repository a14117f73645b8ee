"""Security keys as a second factor: they open the pages once per answer, and nothing forged, copied or old does."""

import html
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django_otp.plugins.otp_static.models import StaticDevice
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from time_machine import travel

from accounts.models import AuditEvent, SecurityKey
from accounts.services import second_factor, security_keys
from accounts.services.security_keys import Asked, SecurityKeyRefused
from tests.admin.authenticator import PRESENT, Answer, Authenticator, base64url, octets_of
from tests.admin.staff import browser_of, member

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN, SITE = "https://staff.example", "staff.example"
KEYS, SECOND, OPERATIONS = "/admin/security-keys/", "/admin/second-factor/", "/admin/"


@pytest.fixture(autouse=True)
def site(settings) -> None:
    """A deployment with a name, where a second factor is required."""
    settings.LOA = {**settings.LOA, "PUBLIC_ORIGIN": ORIGIN, "STAFF_SECOND_FACTOR": "required"}


@pytest.fixture
def user(transactional_db: None) -> User:
    return member("auditor")


def options_on(client: Client, page: str) -> dict[str, Any]:
    """What the page gives the browser to ask a key with."""
    text = client.get(page).content.decode()
    return json.loads(html.unescape(re.search(r'data-options="([^"]+)"', text).group(1)))


def add_key(client: Client, *, name: str = "blue", key: Authenticator | None = None) -> Authenticator:
    key = key or Authenticator(ORIGIN, SITE)
    answer = client.post(KEYS, {"name": name, "answer": json.dumps(key.create(options_on(client, KEYS)))})
    assert answer.status_code in (200, 302)
    assert SecurityKey.objects.filter(credential_id=base64url(key.credential_id)).count() == 1
    return key


def show(client: Client, answer: Answer | str) -> bool:
    """Send an answer to the page of the second factor; whether the staff pages open then."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    assert client.post(SECOND, {"answer": text}).status_code in (200, 302)
    return client.get(OPERATIONS).status_code == 200


def refusals_of(user: User) -> int:
    return AuditEvent.objects.filter(actor=user.username, action="staff.sign_in_refused", facts__step="key").count()


def test_the_first_factor_may_be_a_key_and_comes_with_recovery_codes_once(user: User):
    client, key = browser_of(user), Authenticator(ORIGIN, SITE)
    assert client.get(OPERATIONS).status_code == 302

    made = client.post(KEYS, {"name": "blue", "answer": json.dumps(key.create(options_on(client, KEYS)))})

    assert len(set(made.context["codes"])) == 10
    assert client.get(OPERATIONS).status_code == 200
    second = add_key(client, name="green")
    assert StaticDevice.objects.filter(user=user).count() == 1
    later = browser_of(user)
    assert show(later, second.get(options_on(later, SECOND)))
    by_code = browser_of(user)
    assert by_code.post(SECOND, {"code": made.context["codes"][0]}).status_code == 302
    assert by_code.get(OPERATIONS).status_code == 200
    events = AuditEvent.objects.filter(actor=user.username, action="staff.security_key_added").order_by("id")
    assert [event.facts["name"] for event in events] == ["blue", "green"]


def test_a_key_opens_the_page_that_was_asked_for(user: User):
    key = add_key(browser_of(user))
    client = browser_of(user)

    answer = json.dumps(key.get(options_on(client, SECOND)))
    opened = client.post(f"{SECOND}?next=/admin/x402/payment/", {"answer": answer})

    assert opened["Location"] == "/admin/x402/payment/"
    assert client.get("/admin/x402/payment/").status_code == 200
    assert SecurityKey.objects.get(user=user).used_at is not None


@pytest.mark.parametrize("counts", [True, False], ids=["a key that counts", "a passkey that does not"])
def test_an_answer_holds_once(user: User, counts: bool):
    key = add_key(browser_of(user), key=Authenticator(ORIGIN, SITE, counts=counts))
    client = browser_of(user)
    answer = key.get(options_on(client, SECOND))
    assert show(client, answer)

    again = browser_of(user)
    again.cookies = client.cookies.copy()
    session = again.session
    del session["otp_device_id"]
    session.save()

    assert not show(again, answer)
    assert refusals_of(user) == 1


def test_of_eight_that_send_one_answer_at_once_one_is_let_in(user: User):
    key = add_key(browser_of(user), key=Authenticator(ORIGIN, SITE, counts=False))
    asked = Asked(user, "one-session")
    answer = json.dumps(key.get(json.loads(security_keys.options_to_sign_in(asked))))
    barrier, opened = threading.Barrier(8), []

    def send() -> None:
        barrier.wait()
        try:
            opened.append(security_keys.verify(asked, answer).pk)
        except SecurityKeyRefused:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(opened) == 1


def test_a_challenge_is_for_one_session_one_person_one_purpose_and_some_minutes(user: User):
    key, other = add_key(browser_of(user)), member("auditor")
    here, elsewhere = browser_of(user), browser_of(user)
    foreign = add_key(browser_of(other))

    assert not show(elsewhere, key.get(options_on(here, SECOND)))
    assert not show(here, foreign.get(options_on(browser_of(other), SECOND)))
    assert not show(here, foreign.get(options_on(here, SECOND)))
    add_options = json.loads(security_keys.options_to_add(Asked(user, here.session.session_key)))
    assert not show(here, key.get(add_options))
    old = key.get(options_on(here, SECOND))
    with travel("2099-01-01", tick=True), pytest.raises(SecurityKeyRefused):
        security_keys.verify(Asked(user, here.session.session_key), json.dumps(old))


def changed(part: str, change: Callable[[bytes], bytes]) -> Callable[[Answer], Answer]:
    def apply(answer: Answer) -> Answer:
        response = answer["response"]
        return {**answer, "response": {**response, part: base64url(change(octets_of(response[part])))}}

    return apply


@pytest.mark.parametrize(
    "forge",
    [
        changed("signature", lambda octets: octets[:-1] + bytes([octets[-1] ^ 1])),
        changed("signature", lambda octets: b""),
        changed("authenticatorData", lambda octets: octets[:32] + bytes([PRESENT]) + octets[33:]),
        changed("authenticatorData", lambda octets: octets[:33] + b"\xff\xff\xff\xff"),
        changed("authenticatorData", lambda octets: octets[:20]),
        changed("clientDataJSON", lambda octets: octets.replace(b"staff.example", b"staff.examp1e")),
        changed("clientDataJSON", lambda octets: octets.replace(b"webauthn.get", b"webauthn.create")),
        changed("clientDataJSON", lambda octets: octets.replace(b"false", b"true")),
        changed("clientDataJSON", lambda octets: b"[" * 5_000),
        lambda answer: {**answer, "id": "AAAA"},
        lambda answer: {**answer, "type": "password"},
        lambda answer: {**answer, "response": None},
        lambda answer: [],
    ],
    ids=range(13),
)
def test_an_answer_that_was_changed_anywhere_is_refused_and_counted(user: User, forge: Callable[[Answer], Any]):
    key = add_key(browser_of(user))
    client = browser_of(user)
    answer = key.get(options_on(client, SECOND))

    assert not show(client, forge(answer))
    assert refusals_of(user) == 1
    assert SecurityKey.objects.get(user=user).sign_count == 0
    assert show(client, answer)


@pytest.mark.parametrize(
    ("origin", "site_id"), [("https://evil.example", SITE), (ORIGIN, "evil.example"), ("http://staff.example", SITE)]
)
def test_an_answer_that_was_given_to_another_site_is_refused(user: User, origin: str, site_id: str):
    key = add_key(browser_of(user))
    client = browser_of(user)
    key.origin, key.site_id = origin, site_id

    assert not show(client, key.get(options_on(client, SECOND)))


def test_a_copy_of_a_key_is_found_by_its_count(user: User):
    key = add_key(browser_of(user))
    client = browser_of(user)
    key.count = 41
    assert show(client, key.get(options_on(client, SECOND)))

    key.count = 10
    copy = browser_of(user)

    assert not show(copy, key.get(options_on(copy, SECOND)))
    assert SecurityKey.objects.get(user=user).sign_count == 42


def test_without_a_touch_no_key_signs(user: User):
    key = add_key(browser_of(user))
    key.flags = 0
    client = browser_of(user)

    assert not show(client, key.get(options_on(client, SECOND)))


def test_five_wrong_answers_lock_the_right_one_out(user: User):
    key = add_key(browser_of(user))
    client = browser_of(user)
    for _ in range(5):
        show(client, "{}")

    assert not show(client, key.get(options_on(client, SECOND)))
    assert "Too many attempts" in client.post(SECOND, {"answer": "{}"}).content.decode()


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda octets: octets.decode("latin-1"))))
def test_whatever_is_sent_is_refused_in_words(user: User, sent: str):
    for act in (security_keys.verify, lambda asked, text: security_keys.add(asked, text, name="x")):
        with pytest.raises(SecurityKeyRefused):
            act(Asked(user, "s"), sent)


def test_an_answer_that_is_too_long_or_too_deep_is_refused(user: User):
    for sent in ("[" * 10_000, '{"id":"' + "a" * security_keys.ANSWER_LENGTH_MAX + '"}'):
        with pytest.raises(SecurityKeyRefused):
            security_keys.verify(Asked(user, "s"), sent)


def test_a_key_is_removed_with_a_trace_and_the_session_that_it_opened_ends(user: User):
    client = browser_of(user)
    add_key(client)
    second = add_key(client, name="green")
    later = browser_of(user)
    assert show(later, second.get(options_on(later, SECOND)))

    gone = SecurityKey.objects.get(name="green", user=user)
    client.post(KEYS, {"remove": gone.pk})

    assert [key.name for key in security_keys.keys_of(user)] == ["blue"]
    assert later.get(OPERATIONS).status_code == 302
    assert not show(later, second.get(options_on(later, SECOND)))
    event = AuditEvent.objects.get(actor=user.username, action="staff.security_key_removed")
    assert event.facts == {"name": "green", "credential": gone.credential_id[:16]}


def test_the_only_factor_stays_and_the_keys_of_others_are_nobodys_business(user: User):
    client, other = browser_of(user), member("auditor")
    add_key(client)
    add_key(browser_of(other), name="theirs")
    theirs = SecurityKey.objects.get(user=other)

    mine = client.post(KEYS, {"remove": SecurityKey.objects.get(user=user).pk}, follow=True)
    for wanted in (theirs.pk, "0", "x", 2**63):
        assert client.post(KEYS, {"remove": wanted}).status_code == 302

    assert "It is your only second factor" in mine.content.decode()
    assert SecurityKey.objects.filter(user__in=[user, other]).count() == 2
    assert "theirs" not in client.get(KEYS).content.decode()


def test_whoever_has_a_factor_shows_it_before_the_page_of_keys_opens(user: User):
    add_key(browser_of(user))
    password_only = browser_of(user)

    page = password_only.get(KEYS)
    sent = password_only.post(KEYS, {"remove": SecurityKey.objects.get(user=user).pk})

    assert page["Location"] == f"{SECOND}?next=%2Fadmin%2Fsecurity-keys%2F"
    assert sent.status_code == 302
    assert len(security_keys.keys_of(user)) == 1
    customer = Client()
    customer.force_login(User.objects.create_user(f"customer-{user.pk}"))
    assert customer.get(KEYS)["Location"].startswith("/admin/login/")


def test_the_same_key_is_not_kept_twice_and_nobody_keeps_more_than_ten(user: User):
    client = browser_of(user)
    key = add_key(client)
    again = client.post(KEYS, {"name": "x", "answer": json.dumps(key.create(options_on(client, KEYS)))})
    for number in range(security_keys.KEYS_MAX - 1):
        add_key(client, name=f"key {number}")
    one_more = Authenticator(ORIGIN, SITE).create(options_on(client, KEYS))

    assert "That key is known already." in again.content.decode()
    assert "You have 10 keys." in client.post(KEYS, {"name": "x", "answer": json.dumps(one_more)}).content.decode()
    assert len(security_keys.keys_of(user)) == security_keys.KEYS_MAX


def test_the_command_for_lost_factors_forgets_keys_too(user: User):
    add_key(browser_of(user))

    assert second_factor.remove(user, by="root", reason="lost") >= 2

    assert not second_factor.has_one(user)


@pytest.mark.parametrize(
    ("origin", "is_offered"),
    [
        ("https://pay.example", True),
        ("http://localhost:8402", True),
        ("http://pay.example", False),
        ("https://192.0.2.1", False),
        ("http://[::1]:8402", False),
    ],
)
def test_keys_are_offered_where_browsers_give_them(user: User, settings, origin: str, is_offered: bool):
    settings.LOA = {**settings.LOA, "PUBLIC_ORIGIN": origin}

    assert security_keys.are_offered() is is_offered
    page = browser_of(user).get(KEYS).content.decode()
    assert ("data-options" in page, "Browsers give keys to names" in page) == (is_offered, not is_offered)
