"""Streamed answers and their charge: cut by the client, the upstream, the paid maximum, or the end of a process."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from billing.selectors import credit_notes
from billing.services.verification import verify_ledger
from inference.domain.tokens import count_tokens
from inference.models import CallUsage
from tests.attacks.tools import until
from tests.inference.callers import Caller, somebody_waits_for
from tests.inference.serving import ScriptedUpstream, chunk, open_stream
from tests.inference.streamed import CHAT, PATH, READ, ask, charged, events, text_of
from tests.x402.buyer import Buyer, receipt_of, terms_of
from x402.models import Payment
from x402.services.drain import drain
from x402.services.streaming import open_streams

pytestmark = pytest.mark.django_db(transaction=True)


def test_nothing_is_booked_until_the_end_and_everything_before_done_is_sent(caller: Caller) -> None:
    response = ask(caller)
    parts = iter(response)

    first = next(parts)
    assert caller.payments[0].state == "serving"
    assert caller.held == READ + 2 * 50
    rest = b"".join(parts)

    assert events(first)[0]["choices"][0]["delta"]["role"] == "assistant"
    *_, account, done = events(rest)
    assert done == "[DONE]"
    written = count_tokens(text_of(events(rest)))
    assert account["usage"] == {
        "prompt_tokens": READ,
        "completion_tokens": written,
        "total_tokens": READ + written,
    }
    assert account["loa"]["charged_micro_usdc"] == str(READ + 2 * written) == str(charged(caller))
    assert (caller.payments[0].state, caller.held, len(open_streams)) == ("served", 0, 0)


def test_done_leaves_only_after_the_charge_is_booked(caller: Caller) -> None:
    states = []
    for part in ask(caller):
        states.append((b"[DONE]" in part, caller.payments[0].state))

    assert states[-1] == (True, "served")
    assert {state for is_done, state in states if not is_done} == {"serving"}


def test_no_database_connection_is_held_between_two_parts(caller: Caller) -> None:
    for part in ask(caller):
        if b"[DONE]" not in part:
            assert connection.connection is None


def test_the_headers_tell_the_payment_and_not_yet_a_charge(caller: Caller) -> None:
    response = ask(caller)

    assert response["Content-Type"] == "text/event-stream"
    assert response["Cache-Control"] == "private, no-store"
    assert response["Loa-Payment-Id"] == caller.payments[0].pk
    assert "charged_micro_usdc" not in receipt_of(response)["extensions"]["loa"]
    response.close()


def test_a_client_that_goes_away_is_charged_for_what_was_made(caller: Caller) -> None:
    response = ask(caller)
    parts = iter(response)
    seen = [next(parts) for _ in range(9)]  # the opening and eight tokens
    response.close()

    made = text_of(events(b"".join(seen)))
    [payment] = caller.payments
    assert (payment.state, payment.charged_micro_usdc) == ("served", READ + 2 * count_tokens(made))
    assert count_tokens(made) == 8
    assert (charged(caller), caller.held) == (READ + 16, 0)
    usage = CallUsage.objects.get(payment_id=payment.pk)
    assert (usage.output_tokens, usage.finish_reason, usage.is_streamed) == (8, "disconnected", True)


def test_a_client_that_goes_away_before_the_first_part_pays_no_more_than_what_had_come(caller: Caller) -> None:
    ask(caller).close()

    assert caller.payments[0].state == "served"
    assert charged(caller) <= READ + 2


def test_a_finished_stream_is_given_again_whole_for_nothing(caller: Caller) -> None:
    first = b"".join(ask(caller, Idempotency_Key="k" * 32))
    again = ask(caller, Idempotency_Key="k" * 32)

    assert again.content == first
    assert again["Content-Type"] == "text/event-stream"
    assert len(caller.payments) == 1


def test_an_equal_request_that_comes_while_the_stream_runs_waits_and_gets_it_whole(
    caller: Caller, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    may_end = threading.Event()

    def slowly(handler: Any, asked: Any) -> None:
        open_stream(handler)
        handler.wfile.write(chunk("Clay"))
        may_end.wait(60)
        handler.wfile.write(chunk(" tablets.", finish_reason="stop") + b"data: [DONE]\n\n")

    upstream = scripted(slowly)
    first = ask(caller)
    parts = iter(first)
    got = [next(parts), next(parts)]
    answers: list[bytes] = []

    def again() -> None:
        try:
            answers.append(ask(caller).content)
        finally:
            connection.close()

    second = threading.Thread(target=again)
    second.start()
    until(lambda: somebody_waits_for(caller.payments[0].pk), seconds=60)
    may_end.set()
    got += list(parts)
    second.join(60)

    assert answers == [b"".join(got)]
    assert len(upstream.asked) == len(caller.payments) == 1


def test_the_receipt_of_a_stream_says_what_its_charge_was_made_of(buyer: Buyer) -> None:
    chat = CHAT | {"max_tokens": 200}
    terms = terms_of(buyer.ask(PATH, chat))
    response = buyer.ask(PATH, chat, {"PAYMENT-SIGNATURE": buyer.v2_header(terms)})
    documents = events(b"".join(response))

    payment = Payment.objects.get(pk=response["Loa-Payment-Id"])
    proof = {"Loa-Quote-Token": terms["accepts"][0]["extra"]["quote"]}
    receipt = buyer.ask(f"/api/v1/payments/{payment.pk}/receipt", None, proof).json()

    written = count_tokens(text_of(documents))
    assert receipt["charge"] == {
        "charged_micro_usdc": str(READ + 2 * written),
        "finish_reason": "stop",
        "model": "loa-demo",
        "own_upstream_key": False,
        "price_version": 1,
        "usage": {"input_tokens": READ, "output_tokens": written},
    }
    assert payment.charged_micro_usdc == READ + 2 * written
    [note] = credit_notes.notes_of(buyer.address)
    assert [note["amount_micro_usdc"] for note in receipt["credit_notes"]] == [str(note.amount)]


def test_a_process_that_ends_tells_its_streams_to_end_and_charges_what_arrived(caller: Caller, settings: Any) -> None:
    settings.LOA = settings.LOA | {"STREAM_DRAIN_SECONDS": 0}
    response = ask(caller)
    parts = iter(response)
    got = [next(parts), next(parts)]
    try:
        drain.begin()
        got += list(parts)
    finally:
        drain.cancel()

    documents = events(b"".join(got))
    assert documents[-1]["error"]["code"] == "stream_interrupted"
    assert charged(caller) == READ + 2 * count_tokens(text_of(documents))
    assert (caller.payments[0].state, caller.held) == ("served", 0)


def test_a_stream_whose_lease_is_lost_sends_nothing_more_and_books_nothing(caller: Caller) -> None:
    from x402.services.serving_leases import leases
    from x402.services.streaming import StreamCut

    response = ask(caller)
    parts = iter(response)
    next(parts)
    payment_id = caller.payments[0].pk
    leases._held_until[payment_id] = 0.0

    with pytest.raises(StreamCut):
        next(parts)

    assert (caller.payments[0].state, charged(caller)) == ("serving", caller.held)


def test_more_streams_than_a_process_can_send_are_refused_before_they_are_paid(caller: Caller, settings: Any) -> None:
    settings.LOA = settings.LOA | {"STREAMS_PER_PROCESS": 1}
    running = ask(caller)

    refused = ask(caller, CHAT | {"max_tokens": 51})

    assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
    assert refused["Retry-After"] == "5"
    assert len(caller.payments) == 1
    running.close()


def test_a_real_client_that_closes_its_connection_is_noticed(
    origin: str, caller: Caller, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    stopped = threading.Event()

    def slowly(handler: Any, asked: Any) -> None:
        open_stream(handler)
        try:
            for _ in range(2_000):
                handler.wfile.write(chunk(" word"))
                handler.wfile.flush()
                time.sleep(0.02)
        except OSError:
            stopped.set()

    scripted(slowly)
    host = origin.removeprefix("http://")
    line = http.client.HTTPConnection(host, timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {caller.secret}"}
    line.request("POST", PATH, json.dumps(CHAT | {"max_tokens": 2_000}), headers)
    line.getresponse().read(400)
    line.sock.close() if line.sock else None
    line.close()

    assert stopped.wait(60)
    until(lambda: caller.payments[0].state == "served", seconds=60)
    usage = CallUsage.objects.get(payment_id=caller.payments[0].pk)
    assert 0 < usage.output_tokens < 2_000
    assert charged(caller) == READ + 2 * usage.output_tokens


@pytest.fixture(autouse=True, scope="module")
def _books_are_sound(django_db_blocker: Any) -> Iterator[None]:
    """Whatever these tests break, the ledger and the payments say the same afterwards."""
    yield
    with django_db_blocker.unblock():
        assert [result.check for result in verify_ledger().results if result.finding is not None] == []
