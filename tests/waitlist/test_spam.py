"""Robots, floods and the curious (faults.md 66, 73)."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from tests.waitlist.conftest import join, new_address, old_seal
from waitlist.models import Entry, JoinRequest
from waitlist.pages.form_seal import new_seal
from waitlist.tasks import work

pytestmark = pytest.mark.django_db(transaction=True)


def roc_area(first: list[float], second: list[float]) -> float:
    """How well one can tell the two apart by their size alone: 0.5 is not at all."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks = sum(place for place, (_, group) in enumerate(ranked, start=1) if group == 1)
    return (ranks - len(second) * (len(second) + 1) / 2) / (len(first) * len(second))


def test_a_robot_that_fills_the_hidden_field_gets_the_same_answer_and_no_row(client: Client) -> None:
    honest, trapped = join(client, new_address()), join(client, new_address(), website="https://spam.example")

    assert (honest.status_code, honest["Location"]) == (trapped.status_code, trapped["Location"])
    assert JoinRequest.objects.count() == 1


def test_a_form_sent_faster_than_a_person_reads_is_shown_again(client: Client) -> None:
    answer = join(client, new_address(), seal=new_seal())

    assert answer.status_code == 422
    assert b"quicker than a person" in answer.content
    assert JoinRequest.objects.count() == 0


@pytest.mark.parametrize("seal", ["", "form:x:y", old_seal()[:-2] + "zz"], ids=["none", "garbage", "forged"])
def test_a_form_without_our_seal_is_shown_again_with_what_was_typed(client: Client, seal: str) -> None:
    address = new_address()

    answer = join(client, address, seal=seal)

    assert answer.status_code == 422
    assert f'value="{address}"' in answer.content.decode()
    assert 'name="consent" type="checkbox" value="yes" required checked' in answer.content.decode()


@pytest.mark.parametrize(
    ("typed", "says"),
    [("ada@mailinator.com", "throw-away"), ("ada@example.com\r\nBcc: x@example.com", "cannot write"), ("", "required")],
)
def test_an_address_nobody_can_write_to_is_named_beside_its_field(client: Client, typed: str, says: str) -> None:
    answer = join(client, typed)

    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert 'aria-describedby="mistake-email"' in answer.content.decode()


def test_without_consent_nothing_is_kept(client: Client) -> None:
    answer = client.post("/waitlist/", {"seal": old_seal(), "email": new_address()})

    assert answer.status_code == 422
    assert JoinRequest.objects.count() == 0


def test_a_client_may_send_ten_forms_a_minute(client: Client, settings: Settings) -> None:
    limits = {**settings.LOA["RATE_LIMITS"], "waitlist": 10}
    settings.LOA = {**settings.LOA, "RATE_LIMITS": limits, "ENVIRONMENT": f"flood-{time.monotonic_ns()}"}

    answers = [join(client, new_address()) for _ in range(30)]

    statuses = [answer.status_code for answer in answers]
    assert statuses == [303] * 10 + [429] * 20
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
    assert JoinRequest.objects.count() == 10


def test_a_flood_from_everywhere_is_bounded_and_reading_stays_free(client: Client, settings: Settings) -> None:
    limits = {**settings.LOA["RATE_LIMITS"], "waitlist_all": 25}
    settings.LOA = {**settings.LOA, "RATE_LIMITS": limits, "ENVIRONMENT": f"flood-{time.monotonic_ns()}"}

    statuses = [_from(f"198.51.{number}.7", client, new_address()) for number in range(100)]

    assert statuses.count(303) == 25
    assert set(statuses) == {303, 429}
    assert client.get("/waitlist/").status_code == 200


def _from(address: str, client: Client, typed: str) -> int:
    form = {"seal": old_seal(), "email": typed, "consent": "yes"}
    return client.post("/waitlist/", form, REMOTE_ADDR=address).status_code


def test_a_hundred_spellings_of_one_mailbox_get_one_mail(client: Client) -> None:
    for number in range(100):
        join(client, f"ada+{number}@gmail.com" if number % 2 else "a.d.a@googlemail.com")
    work()

    assert Entry.objects.count() == 1
    assert len(mail.outbox) == 1


def test_known_and_unknown_addresses_cost_the_same_statements(client: Client, confirmed: Callable[..., Entry]) -> None:
    known = confirmed().email
    JoinRequest.objects.all().delete()

    def statements(address: str) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            join(client, address)
        return [query["sql"].partition(" (")[0].partition(" VALUES")[0] for query in queries]

    assert statements(known) == statements(new_address())
    assert len([line for line in statements(new_address()) if "waitlist_joinrequest" in line]) == 1


def answer_of(answer: Any) -> tuple[int, str, bytes, list[str]]:
    return answer.status_code, answer.get("Location", ""), answer.content, sorted(answer.headers)


def test_known_and_unknown_addresses_get_the_same_answer(client: Client, confirmed: Callable[..., Entry]) -> None:
    known = confirmed().email

    assert answer_of(join(client, known)) == answer_of(join(client, new_address()))


def measure(client: Client, known: str, each: int) -> tuple[list[float], list[float]]:
    """Seconds of interleaved answers to a known and to fresh addresses."""
    seconds: tuple[list[float], list[float]] = ([], [])
    seal = old_seal()
    for number in range(2 * each):
        address = known if number % 2 else new_address()
        form = {"seal": seal, "email": address, "consent": "yes", "website": "", "friend": ""}
        began = time.perf_counter()
        client.post("/waitlist/", form)
        seconds[number % 2].append(time.perf_counter() - began)
    return seconds


@pytest.mark.slow
def test_time_does_not_tell_who_is_on_the_list(
    client: Client, confirmed: Callable[..., Entry], settings: Settings
) -> None:
    known = confirmed().email
    each = settings.WAITLIST_TIMINGS

    unknown_seconds, known_seconds = measure(client, known, each)

    area = roc_area(unknown_seconds, known_seconds)
    print(
        f"waitlist timing: {each} each, AUC {area:.3f}, medians {statistics.median(known_seconds) * 1000:.2f} and "
        f"{statistics.median(unknown_seconds) * 1000:.2f} ms"
    )
    # 0.45 to 0.55 at two thousand each; fewer measurements scatter more: five standard errors.
    margin = max(0.05, 5 * ((2 * each + 1) / (12 * each * each)) ** 0.5)
    assert abs(area - 0.5) <= margin
