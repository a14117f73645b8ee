"""Upstreams by URL: the Anthropic interface, failover by order and health, and what a broken one may not do."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from inference.domain.chat import Message, ToolCall
from inference.domain.errors import UpstreamError, UpstreamGarbage, UpstreamMisconfigured, UpstreamUnavailable
from inference.domain.prices import Usage
from inference.models import Model, ModelRoute
from inference.selectors import catalogue
from inference.services.completion import complete
from inference.services.price_versions import publish_price
from inference.services.routing import breaker_of
from inference.upstreams.anthropic import AnthropicUpstream
from inference.upstreams.base import CallPiece, CompletionRequest, Piece
from inference.upstreams.openai import OpenAIUpstream
from outbound.breaker import State
from telemetry.identifiers import new_id
from tests.inference.serving import ScriptedUpstream, chunk, event, open_stream

pytestmark = pytest.mark.django_db(transaction=True)

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Now", "parameters": {"type": "object", "properties": {}}},
}
TALK = (
    Message("system", "Be brief."),
    Message("user", "Weather in Turin?"),
    Message("assistant", "", tool_calls=(ToolCall("call_1", "weather", '{"city": "Turin"}'),)),
    Message("tool", "Fog", tool_call_id="call_1"),
)
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Fog"}}
REQUEST = CompletionRequest(
    model="claude", messages=TALK, max_tokens=64, tools=(TOOL,), options={"temperature": 1.5, "stop": "END", "seed": 1}
)


def replies(document: Any, status: int = 200) -> Any:
    def answer(handler: Any, asked: Any) -> None:
        body = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def streams(*documents: Any) -> Any:
    def answer(handler: Any, asked: Any) -> None:
        open_stream(handler)
        handler.wfile.write(b": hello\n\n" + b"".join(event(document) for document in documents))

    return answer


@pytest.fixture
def anthropic(settings: Any) -> Iterator[Callable[[Any], tuple[AnthropicUpstream, ScriptedUpstream]]]:
    """An upstream of the other interface, replying as told."""
    with ExitStack() as stack:

        def serve(answer: Any) -> tuple[AnthropicUpstream, ScriptedUpstream]:
            server = stack.enter_context(ScriptedUpstream(answer))
            entry = {"class": "inference.upstreams.anthropic.AnthropicUpstream", "base_url": server.url}
            settings.LOA = settings.LOA | {"UPSTREAMS": {"anthropic": entry}}
            return AnthropicUpstream(name="anthropic", base_url=server.url, api_key="sk-ant"), server

        yield serve


def test_a_chat_is_put_into_the_other_interface_and_back(anthropic: Any) -> None:
    blocks = [
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Pisa"}},
    ]
    upstream, server = anthropic(
        replies({"content": blocks, "stop_reason": "tool_use", "usage": {"input_tokens": 9, "output_tokens": 5}})
    )

    made = upstream.complete(REQUEST)

    assert (made.answer, made.finish_reason, made.usage) == ("Looking.", "tool_calls", Usage(9, 5))
    assert made.tool_calls == (ToolCall("toolu_1", "weather", '{"city": "Pisa"}'),)
    assert server.keys == ["sk-ant"]
    [asked] = server.asked
    assert asked == {
        "model": "claude",
        "max_tokens": 64,
        "stream": False,
        "system": "Be brief.",
        "temperature": 1,
        "stop_sequences": ["END"],
        "tools": [{"name": "weather", "description": "Now", "input_schema": {"type": "object", "properties": {}}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Weather in Turin?"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Turin"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "Fog"}]},
        ],
    }


def test_a_stream_of_the_other_interface_comes_in_pieces(anthropic: Any) -> None:
    upstream, _ = anthropic(
        streams(
            {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}},
            {"type": "ping"},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Fog"}},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {"type": "tool_use", "id": "t1", "name": "weather", "input": {}},
            },
            {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 4}},
            {"type": "message_stop"},
        )
    )

    with upstream.stream(REQUEST) as pieces:
        came = list(pieces)

    assert came == [
        Piece(text="Fog"),
        Piece(calls=(CallPiece(0, id="t1", name="weather"),)),
        Piece(calls=(CallPiece(0, arguments="{}"),)),
        Piece(finish_reason="length", usage=Usage(9, 4)),
    ]


@pytest.mark.parametrize(
    ("documents", "error"),
    [
        (
            [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Fog"}}],
            UpstreamUnavailable,
        ),
        ([{"type": "error", "error": {"type": "overloaded_error"}}], UpstreamUnavailable),
        ([["not", "an", "event"]], UpstreamGarbage),
    ],
)
def test_a_broken_stream_of_the_other_interface_is_told(
    anthropic: Any, documents: list[Any], error: type[UpstreamError]
) -> None:
    upstream, _ = anthropic(streams(*documents))

    def read() -> None:
        with upstream.stream(REQUEST) as pieces:
            list(pieces)

    with pytest.raises(error):
        read()


@pytest.mark.parametrize("status", [200, 401])
def test_a_key_of_the_other_interface_is_judged_by_its_list_of_models(anthropic: Any, status: int) -> None:
    upstream, _ = anthropic(replies({}, status))

    assert upstream.check_key("sk-ant-other") is (status == 200)


@pytest.fixture
def two_upstreams(settings: Any) -> Iterator[Callable[[Any, Any], tuple[str, ScriptedUpstream, ScriptedUpstream]]]:
    """A model with two upstreams, in this order."""
    with ExitStack() as stack:
        made: list[Model] = []

        def serve(first: Any, second: Any) -> tuple[str, ScriptedUpstream, ScriptedUpstream]:
            servers = [stack.enter_context(ScriptedUpstream(answer)) for answer in (first, second)]
            entries = {
                f"{name}-{made}": {"class": "inference.upstreams.openai.OpenAIUpstream", "base_url": server.url}
                for made, (name, server) in enumerate(zip(("one", "two"), servers, strict=True))
            }
            settings.LOA = settings.LOA | {"UPSTREAMS": entries}
            one, two = entries
            model = Model.objects.create(
                name=new_id("mod"), upstream=one, upstream_model="m1", context_tokens=4_000, max_output_tokens=500
            )
            made.append(model)
            ModelRoute.objects.create(model=model, position=1, upstream=two, upstream_model="m2")
            publish_price(model, input_micro_usd_per_million=1_000_000, output_micro_usd_per_million=1_000_000)
            return model.name, servers[0], servers[1]

        yield serve
        for model in made:
            Model.objects.filter(pk=model.pk).update(is_offered=False)
        catalogue.forget_snapshot()


GOOD = replies({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})


@pytest.mark.parametrize("fault", [replies({}, 500), replies({}, 429), replies({}, 404), replies({"choices": []})])
def test_when_the_first_upstream_fails_the_second_is_asked_by_its_own_name(two_upstreams: Any, fault: Any) -> None:
    name, first, second = two_upstreams(fault, GOOD)

    made = complete({"model": name, "prompt": "Hello"}, price_version=1)

    assert (made.answer, made.upstream) == ("Hi", "two-1")
    assert ([asked["model"] for asked in first.asked], [asked["model"] for asked in second.asked]) == (["m1"], ["m2"])


def test_a_request_the_first_declines_is_not_sent_to_the_second(two_upstreams: Any) -> None:
    name, _, second = two_upstreams(replies({}, 400), GOOD)

    with pytest.raises(UpstreamError) as refused:
        complete({"model": name, "prompt": "Hello"}, price_version=1)

    assert not isinstance(refused.value, UpstreamMisconfigured)
    assert second.asked == []


def test_an_upstream_that_keeps_failing_is_not_asked_any_more(two_upstreams: Any) -> None:
    name, first, second = two_upstreams(replies({}, 503), GOOD)

    for _ in range(6):
        assert complete({"model": name, "prompt": "Hello"}, price_version=1).answer == "Hi"

    assert len(first.asked) == 3
    assert len(second.asked) == 6
    assert breaker_of("one-0").state() is State.OPEN


def test_a_model_is_listed_while_any_of_its_upstreams_is_configured(two_upstreams: Any, settings: Any) -> None:
    name, _, _ = two_upstreams(GOOD, GOOD)
    catalogue.forget_snapshot()
    assert [route.upstream_model for route in catalogue.offered_model(name).routes] == ["m1", "m2"]

    settings.LOA = settings.LOA | {"UPSTREAMS": {"two-1": settings.LOA["UPSTREAMS"]["two-1"]}}
    catalogue.forget_snapshot()
    assert [route.upstream_model for route in catalogue.offered_model(name).routes] == ["m2"]

    settings.LOA = settings.LOA | {"UPSTREAMS": {"demo": {"class": "inference.demo.upstream.DemoUpstream"}}}
    catalogue.forget_snapshot()
    assert catalogue.offered_model(name) is None


def test_an_upstream_that_redirects_is_not_followed(settings: Any) -> None:
    def away(handler: Any, asked: Any) -> None:
        handler.send_response(302)
        handler.send_header("Location", "http://127.0.0.1:9/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with ScriptedUpstream(away) as server:
        settings.LOA = settings.LOA | {"UPSTREAMS": {"away": {"class": "x", "base_url": server.url}}}
        upstream = OpenAIUpstream(name="away", base_url=server.url)
        with pytest.raises(UpstreamError) as refused:
            upstream.complete(REQUEST)

    assert (refused.value.reason, len(server.asked)) == ("answered 302", 1)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/v1",
        "http://[::1]:80/v1",
        "http://[::ffff:7f00:1]/v1",
        "http://2130706433/v1",
        "http://0x7f.1/v1",
        "http://localhost./v1",
        "http://user@127.0.0.1/v1",
        "gopher://127.0.0.1/v1",
        "unix:///tmp/socket",
    ],
)
def test_an_upstream_the_settings_do_not_name_is_never_called_inside_our_network(url: str) -> None:
    with pytest.raises(UpstreamUnavailable):
        OpenAIUpstream(name="evil", base_url=url).complete(REQUEST)


def test_a_server_that_does_not_stream_is_a_stream_of_one_piece(scripted: Any) -> None:
    server = scripted(GOOD)

    with OpenAIUpstream(name="demo", base_url=server.url).stream(REQUEST) as pieces:
        assert list(pieces) == [Piece(text="Hi", finish_reason="stop")]


def test_an_endless_line_is_cut_at_the_size_we_read(scripted: Any) -> None:
    def endless(handler: Any, asked: Any) -> None:
        open_stream(handler)
        handler.wfile.write(b"data: " + b"x" * 3_000_000)

    server = scripted(endless)

    def read() -> None:
        with OpenAIUpstream(name="demo", base_url=server.url).stream(REQUEST) as pieces:
            list(pieces)

    with pytest.raises(UpstreamGarbage):
        read()


def test_options_and_tools_reach_an_openai_upstream_as_they_came(scripted: Any) -> None:
    server = scripted(
        lambda handler, asked: (open_stream(handler), handler.wfile.write(chunk("Hi", finish_reason="stop")))
    )

    with OpenAIUpstream(name="demo", base_url=server.url, api_key="sk-site").stream(REQUEST) as pieces:
        list(pieces)

    [asked] = server.asked
    assert (asked["tools"], asked["temperature"], asked["stop"], asked["seed"]) == ([TOOL], 1.5, "END", 1)
    assert asked["stream_options"] == {"include_usage": True}
    assert asked["messages"][2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Turin"}'}
    assert server.keys == ["Bearer sk-site"]
