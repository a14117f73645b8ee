"""What no schema generates: odd bytes in paths, queries and headers of every documented operation, and odd bodies."""

import http.client
import json
import random
import re

import pytest

from telemetry.problem_codes import PROBLEM_CODES
from tests.fuzz import mutations
from tests.fuzz.people import INVOKE, QUESTION, Person
from tests.fuzz.test_payment_headers import documents
from tests.journeys.live_site import ROOT, LiveSite

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(600)]

DOCUMENT = (ROOT / "docs" / "openapi.yaml").read_text()
OPERATIONS = re.findall(
    r"^  (/\S*):$|^    (get|post|put|delete):$", DOCUMENT.partition("\ncomponents:")[0], re.MULTILINE
)
ODD = ("%00", "%0A", "%ff%fe", "%ED%A0%80", "%F0%9F%AA%99", "%C2%B2", "'%22%5C", "x" * 3_000, "%25s", "9" * 5_000, "-1")
LOGOUT = "/api/v1/auth/logout"  # would end the sign-in that the others need
QUERY = ("cursor", "limit", "offset", "first_day", "last_day", "of", "type", "chain", "from", "to", "version")
BODIES = (
    b"",
    b"null",
    b"[]",
    b"1e999",
    b'"\\ud800"',
    b'{"a":1,"a":2}',
    b"[" * 10_000,
    b"{" + b'"a":{' * 1_000,
    b"\xff\xfe",
    b'{"name":"\\u0000","label":"\\u0000","message":"\\u0000","model":"\\u0000","prompt":"\\u0000"}',
)
TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "multipart/form-data; boundary=",
    "\xff/\xfe",
    "text/plain",
)


def operations() -> list[tuple[str, str]]:
    found, path = [], ""
    for new_path, method in OPERATIONS:
        path = new_path or path
        if method:
            found.append((method.upper(), path))
    return found


def answer(
    site: LiveSite, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=70)
    try:
        connection.request(method, path, body, headers)
        got = connection.getresponse()
        return got.status, got.read(), got.headers.get("Content-Type", "")
    finally:
        connection.close()


def require_refused_in_words(asked: object, status: int, body: bytes, media_type: str) -> None:
    assert status not in (500, 501, 502, 504), (asked, body)
    if media_type.startswith("application/problem+json"):
        problem = json.loads(body)
        assert problem["status"] == status, (asked, body)
        assert problem["code"] in PROBLEM_CODES or status == 402, (asked, body)
    else:
        assert status < 400 or media_type.startswith(("text/html", "application/json")) or not body, (asked, body)


@pytest.mark.parametrize(("method", "path"), operations())
def test_odd_bytes_in_an_address_are_no_failure(
    method: str, path: str, site: LiveSite, identities: list[dict[str, str]], dice: random.Random
) -> None:
    headers = {} if path == LOGOUT else identities[1 if "/admin/" in path else dice.choice((2, 2, 3))]
    names = re.findall(r"{\w+}", path)
    odd = ODD if names or method == "GET" else ODD[:2]
    for sign in odd:
        address = re.sub(r"{\w+}", lambda _, sign=sign: sign, path)
        query = "&".join(f"{name}={sign}" for name in dice.sample(QUERY, 4)) if method == "GET" or not names else ""
        body = json.dumps({"version": 1}).encode() if method in ("POST", "PUT") else None
        sent = headers | ({"Content-Type": "application/json"} if body else {})
        require_refused_in_words((method, address, query), *answer(site, method, f"{address}?{query}", body, sent))


@pytest.mark.parametrize(("method", "path"), [pair for pair in operations() if pair[0] in ("POST", "PUT")])
def test_odd_bodies_are_no_failure(
    method: str, path: str, site: LiveSite, people: list[Person], identities: list[dict[str, str]], dice: random.Random
) -> None:
    address = path.format_map(people[0].possessions | dict.fromkeys(("collection", "token_id", "model"), "7"))
    for body in BODIES:
        who = {} if path == LOGOUT else identities[1 if "/admin/" in path else dice.choice((0, 2, 2, 3))]
        headers = {"Content-Type": dice.choice(TYPES), "Idempotency-Key": "k" * 20} | who
        headers |= {"Content-Type": "application/json"} if dice.randrange(3) else {}
        require_refused_in_words((method, path, body, headers), *answer(site, method, address, body, headers))


def test_a_changed_payment_header_is_no_failure(site: LiveSite, dice: random.Random, is_long: bool) -> None:
    body, good = json.dumps(QUESTION).encode(), documents()
    for _ in range(10_000 if is_long else 150):
        line = mutations.header_of(dice.choice(good), dice, changes=dice.randrange(16))
        if not line.isascii() or not line.isprintable():
            continue
        name = dice.choice(("PAYMENT-SIGNATURE", "X-PAYMENT", "SIGN-IN-WITH-X", "Idempotency-Key", "Authorization"))
        headers = {"Content-Type": "application/json", name: line}
        status, text, media_type = answer(site, "POST", INVOKE, body, headers)
        assert status in (400, 401, 402, 431), (headers, text)
        require_refused_in_words(headers, status, text, media_type)
