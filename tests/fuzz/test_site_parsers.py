"""Parsers that need the site around them: sign-in messages, the waitlist's forms, reports, and streams of upstreams."""

import io
import json
import random
import secrets
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
from django.conf import LazySettings
from django.test import Client
from eth_account import Account
from eth_account.messages import encode_defunct

from accounts.services import nonces, sessions
from accounts.services.errors import SignInRefused
from accounts.services.sign_in_expectations import site_expectation
from inference.domain.errors import UpstreamGarbage, UpstreamUnavailable
from inference.upstreams import events
from inference.upstreams.anthropic import AnthropicUpstream
from inference.upstreams.openai import OpenAIUpstream
from outbound.deadlines import Deadline
from outbound.http import StreamedResponse
from tests.fuzz import mutations
from tests.fuzz.test_parsers import NASTY_TIMES, REPORTS, changed_json
from waitlist.pages.form_seal import new_seal

pytestmark = [pytest.mark.fuzz, pytest.mark.django_db(transaction=True), pytest.mark.timeout(3_600)]

KEY = Account.create()
SHORT, LONG = 150, 20_000
NASTY_LINES = ("Expiration Time: ", "Not Before: ", "Issued At: ", "Request ID: ", "Resources:\n- ", "Chain ID: ")
OPENAI: list[dict[str, Any]] = [
    {"choices": [{"delta": {"content": "Fog"}, "finish_reason": None}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
]
ANTHROPIC: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 3}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c", "name": "f"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Fog"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
]


@pytest.fixture
def tries(is_long: bool) -> range:
    return range(LONG if is_long else SHORT)


def lines_of_message() -> list[str]:
    expected = site_expectation()
    return [
        f"{expected.domain} wants you to sign in with your Ethereum account:",
        KEY.address,
        "",
        "Sign in.",
        "",
        f"URI: {expected.uri}",
        "Version: 1",
        "Chain ID: 84532",
        f"Nonce: {nonces.issue()}",
        f"Issued At: {datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}",
    ]


def signed(text: str) -> str:
    return "0x" + Account.sign_message(encode_defunct(text=text), KEY.key).signature.hex().removeprefix("0x")


@pytest.mark.parametrize("moment", NASTY_TIMES)
@pytest.mark.parametrize("name", ["Issued At", "Expiration Time", "Not Before"])
def test_a_signed_message_of_an_odd_moment_is_refused(name: str, moment: str) -> None:
    lines = lines_of_message()
    if name == "Issued At":
        lines.pop()
    text = "\n".join([*lines, f"{name}: {moment}"])

    try:
        sessions.sign_in(text, signed(text))
    except SignInRefused:
        return
    assert name == "Expiration Time" or moment.startswith("0001"), text


def test_a_changed_sign_in_message_is_refused_in_the_same_words(dice: random.Random, tries: range) -> None:
    for _ in tries:
        lines = lines_of_message()
        match dice.randrange(3):
            case 0:
                at = dice.randrange(len(lines))
                lines[at] = mutations.changed_line(lines[at] or "x", dice)
            case 1:
                lines.insert(dice.randrange(len(lines) + 1), dice.choice(NASTY_LINES) + dice.choice(NASTY_TIMES))
            case _:
                name, _, _ = lines[-1 - dice.randrange(5)].partition(":")
                lines[-1] = f"{name}: {dice.choice((*NASTY_TIMES, '-1', '9' * 400, '٣', '0x1', '1e3'))}"
        text = "\n".join(lines)
        try:
            signature = signed(text) if dice.randrange(3) else mutations.changed_line("0x" + "11" * 65, dice)
        except UnicodeEncodeError:
            signature = "0x"
        try:
            sessions.sign_in(text, signature)
        except SignInRefused:
            continue
        assert text.startswith(site_expectation().domain)


FORMS = {
    "/waitlist/": {"email": "ada@example.com", "consent": "yes", "website": "", "friend": ""},
    "/waitlist/again": {"email": "ada@example.com"},
    "/waitlist/wallet": {"wallet": "0x" + "ab" * 20, "consent": "yes", "friend": ""},
}


@pytest.mark.parametrize("path", FORMS)
def test_a_changed_form_is_shown_again_and_never_fails(path: str, dice: random.Random, tries: range) -> None:
    seal = new_seal()
    time.sleep(2.1)
    for _ in tries[: max(20, len(tries) // 5)]:
        form = dict(FORMS[path], seal=seal)
        if path.endswith("wallet") and dice.randrange(2):
            form |= {"message": "\n".join(lines_of_message()), "signature": "0x" + "11" * 65}
        name = dice.choice(list(form))
        form[name] = dice.choice(
            (mutations.changed_line(form[name] or "x", dice), str(dice.choice(mutations.NASTY_VALUES)))
        )
        body = urlencode(form, errors="surrogatepass")
        answer = Client().post(path, body, content_type="application/x-www-form-urlencoded")
        assert answer.status_code in (200, 303, 422), (form, answer.status_code)


def test_a_changed_report_of_a_browser_is_taken_or_refused(
    dice: random.Random, tries: range, settings: LazySettings
) -> None:
    settings.LOA = {**settings.LOA, "RATE_LIMITS": {"csp_report": 1_000_000}}
    for _ in tries:
        body = changed_json(dice.choice(REPORTS), dice) or b" "
        answer = Client().post("/api/v1/csp-report", body, content_type="application/csp-report")
        assert answer.status_code in (204, 400), (body, answer.content)


@pytest.mark.parametrize(("kind", "good"), [(OpenAIUpstream, OPENAI), (AnthropicUpstream, ANTHROPIC)])
def test_a_changed_stream_of_an_upstream_is_read_or_told_as_its_failure(
    kind: Any, good: list[dict[str, Any]], dice: random.Random, tries: range
) -> None:
    upstream = kind(name="u", base_url="http://127.0.0.1:1")
    read = 0
    for _ in range(len(tries) * 20):
        documents = [mutations.changed_document(one, dice) if dice.randrange(3) == 0 else one for one in good]
        text = "".join(f"data: {json.dumps(one)}\n\n" for one in documents) + "data: [DONE]\n\n"
        raw = mutations.changed_text(text, dice) if dice.randrange(3) == 0 else text
        wire = raw.encode("utf-8", "surrogatepass")
        wire = mutations.changed_bytes(wire, dice) if dice.randrange(3) == 0 else wire
        answer = urllib3.HTTPResponse(io.BytesIO(wire), preload_content=False, status=200)
        streamed = StreamedResponse(answer, deadline=Deadline(time.monotonic() + 60), bytes_max=10**6)
        try:
            for piece in upstream._pieces(events._documents("u", streamed)):
                piece.written_text.encode()
                assert piece.usage is None or piece.usage.output_tokens >= 0
            read += 1
        except (UpstreamGarbage, UpstreamUnavailable):
            continue
    assert read > len(tries)


def test_nonces_that_are_not_ours_are_not_ours(dice: random.Random, tries: range) -> None:
    for _ in tries:
        nonce = nonces.issue()
        changed = mutations.changed_line(nonce, dice)
        assert nonces.is_ours(changed) is (changed == nonce)
        assert nonces.is_ours(secrets.token_hex(25)) is False
