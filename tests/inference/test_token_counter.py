"""The token counter: one documented rule, lossless and linear."""

import time

from hypothesis import given
from hypothesis import strategies as st

from inference.domain.tokens import (
    TOKENS_BEFORE_ANSWER,
    TOKENS_PER_MESSAGE,
    count_prompt_tokens,
    count_tokens,
    tokenize,
)


def test_words_are_cut_after_four_letters_and_carry_the_space_before_them():
    assert tokenize("Name three ledgers") == ["Name", " thre", "e", " ledg", "ers"]


def test_numbers_are_cut_after_three_digits_and_signs_stand_alone():
    assert tokenize("12345, ok?") == ["123", "45", ",", " ok", "?"]


def test_other_scripts_count_one_token_for_each_character():
    assert tokenize("数える 🙂") == ["数", "え", "る", " 🙂"]


@given(st.text())
def test_joined_tokens_are_the_text_again(text):
    assert "".join(tokenize(text)) == text


@given(st.text(), st.text())
def test_a_longer_text_never_has_fewer_tokens_than_its_parts_allow(left, right):
    assert count_tokens(left + right) <= count_tokens(left) + count_tokens(right)


def test_a_chat_adds_fixed_amounts_for_its_markers():
    assert count_prompt_tokens(["Hi", "Hello there"]) == (
        TOKENS_BEFORE_ANSWER + 2 * TOKENS_PER_MESSAGE + count_tokens("Hi") + count_tokens("Hello there")
    )


def test_the_largest_body_is_counted_in_a_blink():
    text = "a b\n" * 16_384

    def seconds_of(what: str) -> float:
        """The best of three: whatever else the machine does only adds."""
        taken = []
        for _ in range(3):
            started = time.perf_counter()
            count_tokens(what)
            taken.append(time.perf_counter() - started)
        return min(taken)

    assert seconds_of(text) < 1
    assert seconds_of(text) < 100 * seconds_of(text[: len(text) // 16])
