"""What makes a database doubtful, as a plain rule: every case of the comparison, and a model of its whole life."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.recovery import Doubt, Note, Past, Place, doubts_of

HERE = Place("7001", 3, 5_000)
PAST = Past(HERE, "rec_now", "7001", 3, is_note_known=True)


def test_a_database_that_is_as_it_was_is_not_doubted() -> None:
    assert doubts_of(PAST, None) == ()
    assert doubts_of(PAST, PAST.note) == ()
    assert doubts_of(PAST, Note("rec_now", replace(HERE, position=4_999))) == ()


@pytest.mark.parametrize(
    ("past", "note", "doubt"),
    [
        (replace(PAST, place=replace(HERE, timeline=4)), PAST.note, Doubt.TIMELINE_CHANGED),
        (replace(PAST, place=replace(HERE, timeline=2)), PAST.note, Doubt.TIMELINE_CHANGED),
        (replace(PAST, place=replace(HERE, server="9")), PAST.note, Doubt.OTHER_SERVER),
        (replace(PAST, is_note_known=False), Note("rec_later", HERE), Doubt.ACCEPTANCE_LOST),
        (PAST, Note("rec_now", replace(HERE, position=5_001)), Doubt.POSITION_WENT_BACK),
    ],
    ids=["promoted", "put back", "restored elsewhere", "forgot its acceptance", "snapshot"],
)
def test_each_way_of_forgetting_is_one_doubt(past: Past, note: Note, doubt: Doubt) -> None:
    assert doubts_of(past, note) == (doubt,)


def test_a_note_of_an_earlier_acceptance_is_old_and_says_nothing() -> None:
    note = Note("rec_before", Place("7001", 2, 9_000_000))

    assert doubts_of(PAST, note) == ()


def test_a_promoted_replica_is_doubted_without_any_note() -> None:
    assert doubts_of(replace(PAST, place=replace(HERE, timeline=4)), None) == (Doubt.TIMELINE_CHANGED,)


@given(st.lists(st.tuples(st.sampled_from(["write", "note", "accept"]), st.integers(1, 1_000)), max_size=40))
def test_a_database_that_only_goes_on_is_never_doubted(steps: list[tuple[str, int]]) -> None:
    past, note = PAST, None
    for number, (step, amount) in enumerate(steps):
        if step == "write":
            past = replace(past, place=replace(past.place, position=past.place.position + amount))
        elif step == "note":
            note = past.note
        else:
            past = replace(past, acceptance_id=f"rec_{number}")
        assert doubts_of(past, note) == ()
