"""The demonstration model: deterministic, honest, and exact about its tokens."""

from hypothesis import given
from hypothesis import strategies as st

from inference.demo.model import answer
from inference.domain.chat import Message
from inference.domain.tokens import count_prompt_tokens, count_tokens, tokenize

QUESTION = (Message("user", "Name three ledgers older than paper."),)


def test_the_same_conversation_gets_the_same_answer():
    assert answer(QUESTION, max_tokens=500) == answer(QUESTION, max_tokens=500)


def test_it_says_that_it_is_no_language_model():
    text = answer(QUESTION, max_tokens=500).text

    assert "loa-demo" in text
    assert "not a language model" in text
    assert "Name three ledgers older than paper." in text


def test_another_role_is_another_conversation():
    as_system = (Message("system", QUESTION[0].content),)

    assert answer(as_system, max_tokens=500).text != answer(QUESTION, max_tokens=500).text


def test_it_stops_at_the_last_token_that_was_paid_for():
    whole, cut = answer(QUESTION, max_tokens=500), answer(QUESTION, max_tokens=7)

    assert cut.text == "".join(tokenize(whole.text)[:7])
    assert (cut.usage.output_tokens, cut.finish_reason) == (7, "length")
    assert whole.finish_reason == "stop"


@given(st.text(min_size=1), st.integers(1, 200))
def test_the_reported_counts_are_counts_of_what_it_read_and_wrote(prompt, max_tokens):
    made = answer((Message("user", prompt),), max_tokens=max_tokens)

    assert made.usage.input_tokens == count_prompt_tokens([prompt])
    assert made.usage.output_tokens == count_tokens(made.text) <= max_tokens
