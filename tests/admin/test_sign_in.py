"""How staff sign in: guessing is slow, a password alone opens nothing where a second factor is required."""

import io
import json
import time
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import AuditEvent
from accounts.services import second_factor, staff_sign_in
from accounts.services.staff_sign_in import Attempt
from tests.admin.staff import member

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "a-long-password-for-tests"
LOGIN, SECOND = "/admin/login/", "/admin/second-factor/"


@pytest.fixture
def required(settings) -> None:
    """As in a deployment."""
    settings.LOA = {**settings.LOA, "STAFF_SECOND_FACTOR": "required"}


@pytest.fixture
def user(transactional_db: None) -> User:
    made = member("auditor")
    made.set_password(PASSWORD)
    made.save()
    return made


def sign_in(client: Client, username: str, password: str, *, address: str = "198.51.100.7"):
    return client.post(LOGIN, {"username": username, "password": password}, REMOTE_ADDR=address)


def code_of(device: TOTPDevice, *, step: int = 0) -> str:
    return f"{totp(device.bin_key, t0=device.t0 - step * device.step):06d}"


def enrol(user: User) -> tuple[TOTPDevice, list[str]]:
    second_factor.begin(user)
    device = TOTPDevice.objects.get(user=user)
    confirmed, codes = second_factor.confirm(user, code_of(device))
    TOTPDevice.objects.filter(pk=confirmed.pk).update(last_t=-1, throttling_failure_count=0)
    return TOTPDevice.objects.get(pk=confirmed.pk), codes


def test_the_sixth_guess_is_refused_unseen_and_so_is_the_right_password(user: User):
    client = Client()
    answers = [sign_in(client, user.username, f"wrong-{number}").content.decode() for number in range(5)]
    locked = sign_in(client, user.username.upper(), PASSWORD)

    assert all("Please enter the correct username and password" in answer for answer in answers)
    assert "Too many attempts. Try again in 15 minutes." in locked.content.decode()
    assert locked.status_code == 200
    assert AuditEvent.objects.filter(subject=Attempt(user.username, "").subject).count() == 5


def test_a_lock_is_for_the_address_that_guessed_and_ends_by_itself(user: User):
    for number in range(5):
        sign_in(Client(), user.username, f"wrong-{number}")

    assert sign_in(Client(), user.username, PASSWORD, address="203.0.113.9").status_code == 302
    with time_machine.travel(timezone.now() + staff_sign_in.WINDOW + timedelta(seconds=1), tick=True):
        assert sign_in(Client(), user.username, PASSWORD).status_code == 302


def test_fifty_failures_from_anywhere_lock_a_name_for_everybody(user: User):
    for number in range(50):
        attempt = Attempt(user.username, f"198.51.100.{number}")
        staff_sign_in.record_failure(attempt, step="password")

    assert staff_sign_in.locked_for(Attempt(user.username, "203.0.113.1")) is not None


def test_a_name_that_does_not_exist_is_locked_the_same_way(transactional_db: None):
    name = "nobody-of-that-name"
    for number in range(5):
        sign_in(Client(), name, f"wrong-{number}")

    assert "Too many attempts" in sign_in(Client(), name, "x").content.decode()


@pytest.mark.usefixtures("required")
def test_a_password_alone_opens_no_staff_page(user: User):
    client = Client()

    assert sign_in(client, user.username, PASSWORD).status_code == 302
    page = client.get("/admin/x402/payment/", follow=True)

    assert page.redirect_chain[-1][0].startswith(SECOND)
    assert (
        "next=/admin/x402/payment/" in page.redirect_chain[-1][0]
        or "next=%2Fadmin%2Fx402" in page.redirect_chain[-1][0]
    )
    assert client.get("/admin/operations/").status_code == 302


@pytest.mark.usefixtures("required")
def test_somebody_without_a_second_factor_makes_one_and_is_given_recovery_codes_once(user: User):
    client = Client()
    sign_in(client, user.username, PASSWORD)
    page = client.get(SECOND)
    device = TOTPDevice.objects.get(user=user)
    assert "<svg" in page.content.decode()
    assert "style=" not in page.content.decode()

    made = client.post(SECOND, {"code": code_of(device)})

    codes = made.context["codes"]
    assert len(set(codes)) == 10
    assert client.get("/admin/").status_code == 200
    assert codes[0] not in client.get(SECOND).content.decode()
    assert AuditEvent.objects.filter(action="staff.second_factor_made", actor=user.username).count() == 1


@pytest.mark.usefixtures("required")
def test_a_code_opens_the_page_that_was_asked_for_and_no_page_elsewhere(user: User):
    device, _ = enrol(user)
    client = Client()
    sign_in(client, user.username, PASSWORD)

    answer = client.post(f"{SECOND}?next=/admin/x402/payment/", {"code": code_of(device)})

    assert answer["Location"] == "/admin/x402/payment/"
    assert client.get("/admin/x402/payment/").status_code == 200
    device.refresh_from_db()
    TOTPDevice.objects.filter(pk=device.pk).update(last_t=-1)
    assert client.post(f"{SECOND}?next=https://evil.example/", {"code": code_of(device)})["Location"] == "/admin/"


@pytest.mark.usefixtures("required")
def test_a_code_is_used_once_and_wrong_ones_lock(user: User):
    _, codes = enrol(user)
    client = Client()
    sign_in(client, user.username, PASSWORD)
    assert client.post(SECOND, {"code": codes[0]}).status_code == 302

    again = Client()
    sign_in(again, user.username, PASSWORD)
    assert "That code is not right" in again.post(SECOND, {"code": codes[0]}).content.decode()
    for number in range(4):
        again.post(SECOND, {"code": f"00000{number}"})
    locked = again.post(SECOND, {"code": codes[1]})

    assert "Too many attempts" in locked.content.decode()
    assert again.get("/admin/operations/").status_code == 302


@pytest.mark.usefixtures("required")
def test_the_page_of_the_second_factor_is_for_staff_who_gave_their_password(transactional_db: None):
    customer, stranger = Client(), Client()
    customer.force_login(User.objects.create_user(f"customer-{time.time_ns()}"))

    for client in (customer, stranger):
        answer = client.get(SECOND)
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, LOGIN)


def test_on_a_developers_machine_it_is_offered_and_not_required(user: User, settings):
    client = Client()
    sign_in(client, user.username, PASSWORD)

    assert client.get("/admin/").status_code == 200
    assert client.get(SECOND).status_code == 200
    settings.LOA = {**settings.LOA, "ENVIRONMENT": "production"}
    assert second_factor.is_required()


@pytest.mark.usefixtures("required")
def test_a_lost_phone_is_helped_by_a_command_that_is_written_down(user: User):
    enrol(user)
    out = io.StringIO()

    call_command("staff_second_factor_reset", user.username, by="root", reason="phone lost", as_json=True, stdout=out)

    assert json.loads(out.getvalue()) == {"username": user.username, "had_one": True, "dry_run": False}
    assert not second_factor.has_one(user)
    event = AuditEvent.objects.get(action="staff.second_factor_removed", subject=user.username)
    assert (event.actor, event.reason) == ("root", "phone lost")
    with pytest.raises(CommandError):
        call_command("staff_second_factor_reset", "nobody-at-all", by="root", reason="x")


def test_nobody_sees_the_keys_of_others_in_the_pages_of_the_second_factors_package(staff: Client):
    assert staff.get("/admin/otp_totp/totpdevice/").status_code == 404
    assert reverse("admin:second_factor") == SECOND
