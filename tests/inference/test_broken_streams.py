"""Upstreams that break, lie, give nothing or never stop in the middle of a stream: the buyer pays what arrived."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from billing.selectors import credit_notes
from billing.services.verification import verify_ledger
from inference.domain.tokens import count_tokens
from inference.models import CallUsage
from tests.inference.callers import Caller
from tests.inference.serving import ScriptedUpstream, chunk, event, open_stream
from tests.inference.streamed import CHAT, PATH, READ, ask, charged, events, text_of
from tests.x402.buyer import Buyer

pytestmark = pytest.mark.django_db(transaction=True)


def dies(handler: Any, asked: Any) -> None:
    open_stream(handler)
    handler.wfile.write(chunk("Clay") + chunk(" tab"))
    handler.wfile.flush()
    handler.connection.close()


def talks_garbage(handler: Any, asked: Any) -> None:
    open_stream(handler)
    handler.wfile.write(chunk("Clay") + chunk(" tab") + b"data: {not json\n\n")


def tells_an_error(handler: Any, asked: Any) -> None:
    open_stream(handler)
    handler.wfile.write(chunk("Clay") + chunk(" tab") + event({"error": {"message": "sk-secret overloaded"}}))


def ends_early(handler: Any, asked: Any) -> None:
    open_stream(handler)
    handler.wfile.write(chunk("Clay") + chunk(" tab") + b"data: [DONE]\n\n")


def stalls(handler: Any, asked: Any) -> None:
    open_stream(handler)
    handler.wfile.write(chunk("Clay") + chunk(" tab"))
    handler.wfile.flush()
    handler.rfile.read(1)  # until whoever asked has given up


@pytest.mark.parametrize("breaks", [dies, talks_garbage, tells_an_error, ends_early, stalls])
def test_an_upstream_that_breaks_in_the_middle_costs_what_arrived(
    caller: Caller, scripted: Callable[[Any], ScriptedUpstream], monkeypatch: pytest.MonkeyPatch, breaks: Any
) -> None:
    monkeypatch.setattr("inference.upstreams.events.STREAM_STALL_SECONDS", 0.5)
    scripted(breaks)

    body = b"".join(ask(caller))

    *_, account, error = events(body)
    assert error["error"]["code"] == "upstream_failed"
    assert b"sk-secret" not in body
    assert text_of(events(body)) == "Clay tab"
    assert account["loa"]["charged_micro_usdc"] == str(READ + 2 * count_tokens("Clay tab")) == str(charged(caller))
    assert (caller.payments[0].state, caller.held) == ("served", 0)


def refuses(handler: Any, asked: Any) -> None:
    handler.send_error(500)


def says_nothing(handler: Any, asked: Any) -> None:
    open_stream(handler)
    handler.wfile.write(b"data: [DONE]\n\n")


def sends_a_page(handler: Any, asked: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.end_headers()
    handler.wfile.write(b"<html>Welcome</html>")


@pytest.mark.parametrize("fails", [refuses, says_nothing, sends_a_page])
def test_an_upstream_that_gives_nothing_costs_nothing(
    buyer: Buyer, scripted: Callable[[Any], ScriptedUpstream], fails: Any
) -> None:
    scripted(fails)

    refused = buyer.buy(PATH, CHAT)

    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "paid_work_failed")
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.remaining) == ("owed", READ + 2 * 50)


def test_an_upstream_that_never_stops_is_stopped_at_the_paid_maximum(
    caller: Caller, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    stopped = threading.Event()

    def endlessly(handler: Any, asked: Any) -> None:
        open_stream(handler)
        try:
            for _ in range(100_000):
                handler.wfile.write(chunk(" word"))
        except OSError:
            stopped.set()

    scripted(endlessly)

    documents = events(b"".join(ask(caller)))

    assert count_tokens(text_of(documents)) == 50
    assert documents[-3]["choices"][0]["finish_reason"] == "length"
    assert charged(caller) == READ + 2 * 50
    assert stopped.wait(60)


def test_an_upstream_that_sends_everything_in_one_piece_cannot_send_more_than_was_paid(
    caller: Caller, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    def at_once(handler: Any, asked: Any) -> None:
        open_stream(handler)
        handler.wfile.write(chunk("Clay.") + chunk(" word" * 5_000, finish_reason="stop") + b"data: [DONE]\n\n")

    scripted(at_once)

    documents = events(b"".join(ask(caller)))

    assert text_of(documents) == "Clay."
    assert charged(caller) == READ + 2 * count_tokens("Clay.")


@pytest.mark.parametrize(
    ("usage", "billed"),
    [
        ({"prompt_tokens": 999_999, "completion_tokens": 999_999}, (READ, len("Clay tab"))),
        ({"prompt_tokens": 3, "completion_tokens": 1}, (3, 1)),
        ({"prompt_tokens": -5, "completion_tokens": 2}, (READ, 2)),
        ({"prompt_tokens": "many"}, (READ, 2)),
    ],
)
def test_an_upstream_that_lies_about_its_usage_is_believed_only_within_what_arrived(
    caller: Caller, scripted: Callable[[Any], ScriptedUpstream], usage: Any, billed: tuple[int, int]
) -> None:
    def lies(handler: Any, asked: Any) -> None:
        open_stream(handler)
        handler.wfile.write(chunk("Clay") + chunk(" tab", finish_reason="stop"))
        handler.wfile.write(event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")

    scripted(lies)

    b"".join(ask(caller))

    written = CallUsage.objects.get(payment_id=caller.payments[0].pk)
    assert (written.input_tokens, written.output_tokens) == billed
    assert charged(caller) == billed[0] + 2 * billed[1]
    assert written.is_deviating == (usage.get("prompt_tokens") == 999_999)
    assert (written.counted_input_tokens, written.counted_output_tokens) == (READ, 2)


def test_the_clients_own_stream_raises_when_it_is_cut(
    origin: str, caller: Caller, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    scripted(dies)
    client = openai.OpenAI(base_url=f"{origin}/v1", api_key=caller.secret, max_retries=0)
    seen: list[str] = []

    def read() -> None:
        for part in client.chat.completions.create(**CHAT):
            seen.extend(choice.delta.content or "" for choice in part.choices)

    with pytest.raises(openai.APIError) as broken:
        read()

    assert ("".join(seen), broken.value.code) == ("Clay tab", "upstream_failed")


@pytest.fixture(autouse=True, scope="module")
def _books_are_sound(django_db_blocker: Any) -> Iterator[None]:
    """Whatever these tests break, the ledger and the payments say the same afterwards."""
    yield
    with django_db_blocker.unblock():
        assert [result.check for result in verify_ledger().results if result.finding is not None] == []
