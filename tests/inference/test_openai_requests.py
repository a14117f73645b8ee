"""What a chat of the OpenAI interface may hold, field by field, and what of it is counted."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.chat import ToolCall
from inference.domain.errors import InvalidChatRequest
from inference.domain.openai_request import parse_openai_request
from inference.domain.tokens import count_prompt_tokens, count_tokens

HELLO = {"role": "user", "content": "Hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "weather"}}


def request(**changes: Any) -> dict[str, Any]:
    return {"model": "loa-demo", "messages": [HELLO]} | changes


def test_every_field_that_is_sold_is_read() -> None:
    chat = parse_openai_request(
        request(
            messages=[
                {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]},
                {"role": "user", "content": "Weather?", "name": "ann"},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": ""},
            ],
            max_completion_tokens=7,
            tools=[TOOL],
            temperature=0.5,
            stop=["a", "b"],
            stream=True,
            stream_options={"include_usage": True},
            n=1,
            user="u",
            top_p=None,
        )
    )

    assert [message.content for message in chat.messages] == ["Be\nbrief.", "Weather?", "", ""]
    assert chat.messages[2].tool_calls == (ToolCall("c1", "weather", "{}"),)
    assert (chat.max_tokens, chat.is_stream, chat.includes_usage, chat.tools) == (7, True, True, (TOOL,))
    assert dict(chat.options) == {"temperature": 0.5, "stop": ["a", "b"]}
    assert chat.needs == {"tools"}


def test_tools_calls_and_forms_are_part_of_what_a_model_reads() -> None:
    plain = parse_openai_request(request()).input_tokens
    with_tool = parse_openai_request(request(tools=[TOOL])).input_tokens
    with_form = parse_openai_request(request(response_format={"type": "json_object"})).input_tokens
    with_call = parse_openai_request(request(messages=[HELLO, {"role": "assistant", "tool_calls": [CALL]}]))

    assert plain == count_prompt_tokens(["Hello"])
    assert with_tool == plain + count_tokens('{"function":{"name":"weather"},"type":"function"}')
    assert with_form == plain + count_tokens('{"type":"json_object"}')
    assert with_call.input_tokens == count_prompt_tokens(["Hello", "weather{}"])


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"messages": "hi"}, "invalid_parameters", "messages"),
        ({"messages": []}, "empty_prompt", "messages"),
        ({"messages": [HELLO] * 201}, "invalid_parameters", "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_parameters", "messages[0].role"),
        ({"messages": [{"role": "user", "content": " "}]}, "empty_prompt", "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "empty_prompt", "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "invalid_parameters", "messages[0].tool_call_id"),
        ({"messages": [HELLO | {"audio": {}}]}, "invalid_parameters", "messages[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
            "invalid_parameters",
            "messages[0].content",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": 1}]}]},
            "invalid_parameters",
            "messages[0].tool_calls",
        ),
        ({"model": 5}, "unknown_model", "model"),
        ({"model": "x" * 101}, "unknown_model", "model"),
        ({"n": 2}, "invalid_parameters", "n"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "invalid_parameters", "max_tokens"),
        ({"max_tokens": True}, "invalid_max_tokens", "max_tokens"),
        ({"max_tokens": 0}, "invalid_max_tokens", "max_tokens"),
        ({"max_tokns": 5}, "invalid_parameters", "max_tokns"),
        ({"stream": "yes"}, "invalid_parameters", "stream"),
        ({"stream_options": {"include_usage": True}}, "invalid_parameters", "stream_options"),
        ({"tools": {}}, "invalid_parameters", "tools"),
        ({"tools": [{"type": "retrieval"}]}, "invalid_parameters", "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "invalid_parameters", "tools[0]"),
        ({"stop": ["a"] * 5}, "invalid_parameters", "stop"),
        ({"tool_choice": "maybe"}, "invalid_parameters", "tool_choice"),
        ({"response_format": "json"}, "invalid_parameters", "response_format"),
        ({"logprobs": True}, "invalid_parameters", "logprobs"),
        ({"loa_upstream_key": 5}, "invalid_parameters", "loa_upstream_key"),
    ],
)
def test_what_would_change_what_is_sold_is_refused_by_its_field(changes: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(InvalidChatRequest) as refused:
        parse_openai_request(request(**changes))

    assert (refused.value.code, refused.value.field) == (code, field)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["messages", "tools", "stop", "stream", "max_tokens", "tool_choice", "response_format", "n"])


@given(JSON, NAMES, JSON)
def test_anything_is_either_read_or_refused(body: Any, name: str, value: Any) -> None:
    for candidate in (body, request() | {name: value}):
        with suppress(InvalidChatRequest):
            assert parse_openai_request(candidate).input_tokens > 0
