"""Reading a chat request: every wrong value has its code, and nothing is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.chat import (
    DEFAULT_MAX_TOKENS,
    ChatRequest,
    Message,
    ModelLimits,
    allowed_output_tokens,
    parse_chat_request,
)
from inference.domain.errors import InvalidChatRequest
from inference.domain.tokens import count_prompt_tokens

LIMITS = ModelLimits("small", context_tokens=1_000, max_output_tokens=600)


def code_of(body):
    with pytest.raises(InvalidChatRequest) as refusal:
        parse_chat_request(body)
    return refusal.value.code


def test_a_prompt_is_one_message_of_the_user():
    parsed = parse_chat_request({"prompt": "Hi", "model": "loa-demo", "max_tokens": 9})

    assert parsed == ChatRequest(messages=(Message("user", "Hi"),), model="loa-demo", max_tokens=9)


def test_messages_keep_their_roles_and_order():
    parsed = parse_chat_request(
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}
    )

    assert parsed.messages == (Message("system", "Be brief."), Message("user", "Hi"))
    assert (parsed.model, parsed.max_tokens) == (None, None)
    assert parsed.input_tokens == count_prompt_tokens(["Be brief.", "Hi"])


@pytest.mark.parametrize("value", [0, -1, 10**30, 1.5, True, False, "256", None, [], {}])
def test_max_tokens_that_is_no_number_of_tokens_is_refused(value):
    assert code_of({"prompt": "Hi", "max_tokens": value}) == "invalid_max_tokens"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": ""},
        {"prompt": " \n\t\u2003"},
        {"messages": []},
        {"messages": [{"role": "user", "content": ""}]},
    ],
)
def test_an_empty_prompt_is_refused(body):
    assert code_of(body) == "empty_prompt"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "Hi",
        7,
        {"prompt": 7},
        {"prompt": None},
        {"prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}]},
        {"messages": {"role": "user", "content": "Hi"}},
        {"messages": ["Hi"]},
        {"messages": [{"role": "wizard", "content": "Hi"}]},
        {"messages": [{"role": ["user"], "content": "Hi"}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": "Hi", "name": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        {"messages": [{"role": "user", "content": "Hi"}] * 201},
        {"prompt": "Hi", "model": 7},
        {"prompt": "Hi", "max_token": 7},
    ],
)
def test_a_body_of_another_shape_is_refused(body):
    assert code_of(body) == "invalid_parameters"


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_name_no_model_can_have_is_an_unknown_model(name):
    assert code_of({"prompt": "Hi", "model": name}) == "unknown_model"


def test_the_refusal_names_the_misspelt_field():
    with pytest.raises(InvalidChatRequest, match="'max_token'"):
        parse_chat_request({"prompt": "Hi", "max_token": 7})


def test_without_a_wish_the_answer_may_have_the_default_length():
    assert allowed_output_tokens(parse_chat_request({"prompt": "Hi"}), LIMITS) == DEFAULT_MAX_TOKENS


def test_without_a_wish_a_long_prompt_leaves_the_answer_what_is_left():
    request = parse_chat_request({"prompt": "word " * 900})

    assert allowed_output_tokens(request, LIMITS) == 1_000 - request.input_tokens


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"prompt": "Hi", "max_tokens": 601}, "invalid_max_tokens"),
        ({"prompt": "word " * 1_000}, "prompt_too_long"),
        ({"prompt": "word " * 600, "max_tokens": 500}, "prompt_too_long"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(body, code):
    with pytest.raises(InvalidChatRequest) as refusal:
        allowed_output_tokens(parse_chat_request(body), LIMITS)

    assert refusal.value.code == code


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.one_of(
        JSON_VALUES,
        st.fixed_dictionaries(
            {},
            optional={
                "model": JSON_VALUES,
                "prompt": JSON_VALUES,
                "messages": JSON_VALUES | st.lists(st.dictionaries(st.sampled_from(["role", "content"]), JSON_VALUES)),
                "max_tokens": JSON_VALUES,
            },
        ),
    )
)
def test_any_json_is_either_a_request_or_a_refusal_with_a_code(body):
    try:
        code = "" if parse_chat_request(body).input_tokens > 0 else "no tokens"
    except InvalidChatRequest as refusal:
        code = refusal.code

    assert code in {"", "invalid_parameters", "invalid_max_tokens", "empty_prompt", "unknown_model"}
