"""Every other parser of what strangers write: its documented refusal, or a value; never another exception."""

import base64
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.domain.agent_chat import parse_agent_message
from inference.domain.chat import parse_chat_request
from inference.domain.errors import InvalidChatRequest
from inference.domain.openai_request import parse_openai_request
from loa_site.security import csp_reports
from outbound import webhooks
from tests.fuzz import mutations
from waitlist.domain.email_addresses import email_address_of
from waitlist.domain.errors import DisposableAddress, UnusableAddress
from x402.protocol import request_hash, siwx, strict_json
from x402.protocol.errors import MalformedBody, MalformedPayment, SignInRefused
from x402.protocol.strict_json import InvalidJson
from x402.services.keys import hash_of

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(3_600)]

SHORT, LONG = 3_000, 200_000
NOW = datetime(2027, 1, 15, 8, 1, tzinfo=UTC)
ANY_TEXT = st.text() | st.text(st.characters(codec="latin-1")) | st.sampled_from(mutations.NASTY_TEXTS)
NASTY_TIMES = (
    "2027-01-15",
    "2027-01-15T08:00:00",
    "2027-02-30T08:00:00Z",
    "2027-01-15T24:00:00Z",
    "2027-01-15T08:00:60Z",
    "2027-01-15T08:00:00.1234567890Z",
    "2027-01-15T08:00:00+99:99",
    "2027-01-15T08:00:00-24:00",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "２０２７-01-15T08:00:00Z",
    "",
)
CHAT = {"model": "loa-demo", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}
TOOLS = CHAT | {
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 1.5,
    "stop": ["END"],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "messages": [
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}],
        },
        {"role": "tool", "content": [{"type": "text", "text": "Fog"}], "tool_call_id": "c"},
    ],
}
AGENT = {"token_id": "7", "collection": "0x" + "ab" * 20, "message": "Hello", "session_id": "s", "max_tokens": 5}
PROOF = {
    "domain": "shop.example",
    "address": "0x" + "ab" * 20,
    "uri": "https://shop.example/report/7",
    "version": "1",
    "chainId": "eip155:84532",
    "type": "eip191",
    "nonce": "a1b2c3d4e5f6a7b8",
    "issuedAt": "2027-01-15T08:00:00.000Z",
    "expirationTime": "2027-01-15T08:05:00Z",
    "notBefore": "2027-01-15T08:00:00+00:00",
    "resources": ["https://shop.example/report/7"],
    "signature": "0x" + "11" * 65,
}
REPORTS: list[Any] = [
    {
        "csp-report": {
            "document-uri": "https://x.example/?a#b",
            "violated-directive": "img-src",
            "blocked-uri": "inline",
        }
    },
    [{"type": "csp-violation", "body": {"documentURL": "https://x.example/", "blockedURL": "data", "sourceFile": "a"}}],
]


@pytest.fixture
def tries(is_long: bool) -> range:
    return range(LONG if is_long else SHORT)


def changed_json(document: Any, dice: random.Random) -> bytes:
    changed = mutations.changed_document(document, dice) if isinstance(document, dict) else document
    text = json.dumps(changed)
    text = mutations.changed_text(text, dice) if dice.randrange(2) else text
    raw = text.encode("utf-8", "surrogatepass")
    return mutations.changed_bytes(raw, dice) if dice.randrange(2) else raw


@given(st.binary() | ANY_TEXT)
def test_strict_json_reads_once_and_writes_the_same(data: bytes | str) -> None:
    try:
        value = strict_json.parse(data, max_bytes=65_536)
    except InvalidJson:
        return
    assert strict_json.parse(strict_json.canonical_bytes(value), max_bytes=10**6) == value


def test_changed_json_is_read_once_and_written_the_same(dice: random.Random, tries: range) -> None:
    read = 0
    for _ in tries:
        try:
            value = strict_json.parse(changed_json(TOOLS, dice), max_bytes=65_536)
        except InvalidJson:
            continue
        read += 1
        assert strict_json.parse(strict_json.canonical_bytes(value), max_bytes=10**6) == value
    assert read > len(tries) // 50


@pytest.mark.parametrize(
    ("parse", "document"),
    [
        (parse_chat_request, CHAT | {"prompt": "Hi"}),
        (parse_chat_request, CHAT),
        (parse_openai_request, TOOLS),
        (parse_agent_message, AGENT),
    ],
)
def test_a_changed_chat_is_read_or_refused_by_name(
    parse: Callable[[object], Any], document: dict[str, Any], dice: random.Random, tries: range
) -> None:
    details: set[str] = set()
    for _ in tries:
        try:
            parsed = parse(mutations.changed_document(document, dice))
        except InvalidChatRequest as refusal:
            details.add(refusal.detail)
            continue
        chat = parsed.priced() if hasattr(parsed, "priced") else parsed
        assert chat.input_tokens >= 0
    assert len(details) > 3
    assert all(detail.isascii() for detail in details)


def test_a_changed_wallet_proof_is_refused_by_name(dice: random.Random, tries: range) -> None:
    read = 0
    for _ in tries:
        document = mutations.changed_document(PROOF, dice) if dice.randrange(2) else dict(PROOF)
        document[dice.choice(("issuedAt", "expirationTime", "notBefore"))] = dice.choice(NASTY_TIMES)
        document[dice.choice(("uri", "domain"))] = dice.choice(
            ("https://[", "//", "https://shop.example:９", "a" * 3_000)
        )
        line = base64.b64encode(json.dumps(document).encode()).decode()
        try:
            proof = siwx.read_header(mutations.changed_line(line, dice) if dice.randrange(4) == 0 else line)
            read += 1
            siwx.require_valid(proof, origin="https://shop.example", now=NOW)
        except (MalformedPayment, SignInRefused):
            continue
        raise AssertionError(document)
    assert read > len(tries) // 50


@pytest.mark.parametrize("time", NASTY_TIMES)
@pytest.mark.parametrize("name", ["issuedAt", "expirationTime", "notBefore"])
def test_a_proof_of_an_odd_moment_is_refused(name: str, time: str) -> None:
    line = base64.b64encode(json.dumps(PROOF | {name: time}).encode()).decode()

    with pytest.raises((MalformedPayment, SignInRefused)):
        siwx.require_valid(siwx.read_header(line), origin="https://shop.example", now=NOW)


MEDIA_TYPES = st.sampled_from(
    [
        "application/json",
        "application/json; charset=utf-16",
        "application/vnd.api+json",
        "multipart/form-data; boundary=b",
        "multipart/form-data; boundary*0=a; boundary*1=b",
        "multipart/form-data; boundary*=utf-99''b",
        "multipart/form-data; boundary*" + "9" * 5_000 + "=b",
        'multipart/form-data; boundary="',
        "multipart/form-data",
        "text/plain",
        "",
    ]
)
BODIES = st.binary() | st.builds(
    lambda parts, end: b"--b" + b"--b".join(parts) + end,
    st.lists(st.sampled_from([b"\r\n", b"", b"a: b\r\n\r\nc\r\n", b"\n", b" \t\r\nx\r\n"])),
    st.sampled_from([b"--b--", b"\r\n--b--\r\n", b"--", b""]),
)


@given(body=BODIES, content_type=MEDIA_TYPES | ANY_TEXT, query=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=3))
def test_any_body_is_hashed_or_refused(body: bytes, content_type: str, query: list[tuple[str, str]]) -> None:
    try:
        parsed = request_hash.parse_body(body, content_type=content_type)
    except MalformedBody:
        return
    place = ("https://shop.example", "route", "/path")
    first = request_hash.request_hash(method="POST", origin_and_path=place, query=query, body=parsed)
    assert len(first) == 32
    assert first == request_hash.request_hash(method="post", origin_and_path=place, query=query[::-1], body=parsed)


@given(st.none() | st.integers() | ANY_TEXT | st.text("abz019-_", min_size=14, max_size=130))
def test_an_idempotency_key_is_well_formed_or_refused(key: object) -> None:
    try:
        digest = hash_of(key)
    except MalformedPayment:
        return
    assert isinstance(key, str)
    assert 16 <= len(key) <= 128
    assert len(digest) == 64


def test_a_changed_report_is_taken_or_refused(dice: random.Random, tries: range) -> None:
    taken = 0
    for _ in tries:
        report = dice.choice(REPORTS)
        if isinstance(report, list):
            report = [mutations.changed_document(report[0], dice) for _ in range(dice.randrange(1, 30))]
        try:
            violations = csp_reports.violations_of(changed_json(report, dice))
        except csp_reports.InvalidReport:
            continue
        taken += 1
        assert len(violations) <= csp_reports.REPORTS_PER_POST_MAX
        for violation in violations:
            texts = violation.document_uri, violation.violated_directive, violation.blocked_uri, violation.source_uri
            assert all(text.isascii() and text.isprintable() and len(text) <= 512 for text in texts)
            csp_reports.is_noise(violation)
            csp_reports.directive_name(violation.violated_directive)
    assert taken > len(tries) // 50


@given(ANY_TEXT | st.from_regex(r"(https?|data|blob)://[^/]*[@:\[\]%][^ ]*"))
def test_an_address_in_a_report_keeps_no_secret(address: str) -> None:
    shown = csp_reports.without_secrets(address)

    assert shown.isascii()
    assert shown.isprintable()
    assert "?" not in shown
    assert "#" not in shown


HEADER_VALUES = ANY_TEXT | st.sampled_from(
    ["v1,", "v1,AAAA v1,\ud800", "１８００００００００", " 1800000000 ", "1_800_000_000"]
)


@given(
    headers=st.dictionaries(
        st.sampled_from([webhooks.ID_HEADER, webhooks.TIMESTAMP_HEADER, webhooks.SIGNATURE_HEADER]), HEADER_VALUES
    ),
    body=st.binary(),
)
@settings(max_examples=300)
def test_a_webhook_nobody_signed_is_not_authentic(headers: dict[str, str], body: bytes) -> None:
    secret = webhooks.secret_of("key", endpoint_id="we_1", version=1)

    assert webhooks.is_authentic(headers, body, secret=secret, now=1_800_000_000) is False


@given(ANY_TEXT | st.from_regex(r"https?://[^/]*[@:\[\]%0-9.]*[^ ]*"))
def test_a_webhooks_url_is_taken_or_refused(url: str) -> None:
    try:
        webhooks.require_url(url)
    except webhooks.EndpointRefused:
        return
    assert url.lower().startswith("https://")


@given(ANY_TEXT | st.emails() | st.from_regex(r"[a-z.+]{1,70}@[^@]{1,80}"))
@settings(max_examples=300)
def test_an_e_mail_address_is_written_one_way_or_refused(typed: str) -> None:
    try:
        found = email_address_of(typed)
    except (UnusableAddress, DisposableAddress):
        return
    assert found.address.isascii()
    assert found.address.isprintable()
    assert email_address_of(found.address) == found
