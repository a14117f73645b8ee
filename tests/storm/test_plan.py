"""A seed decides the plan of a storm, and nothing else does."""

import pytest

from tests.storm.faults import Faults
from tests.storm.plan import ACTS, FULL, LINKS, ONCE, SHAPES, SMALL, TROUBLES, known_seeds, payers_draw, timeline


def test_a_seed_gives_the_same_timeline_and_the_same_wishes_each_time() -> None:
    assert timeline(7, seconds=60, shape=FULL) == timeline(7, seconds=60, shape=FULL)
    assert timeline(7, seconds=60, shape=FULL) != timeline(8, seconds=60, shape=FULL)
    assert payers_draw(7, 1).random() == payers_draw(7, 1).random()
    assert payers_draw(7, 1).random() != payers_draw(7, 2).random()


@pytest.mark.parametrize("seed", range(1, 21))
def test_a_storm_of_a_minute_sees_every_great_fault(seed: int) -> None:
    faults = timeline(seed, seconds=60, shape=FULL)

    assert set(ONCE) <= {fault.kind for fault in faults}
    assert all(0 < fault.at < 60 for fault in faults)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)


@pytest.mark.parametrize("shape", [FULL, SMALL])
def test_every_fault_that_can_be_drawn_can_be_applied(shape) -> None:
    for seed in range(1, 40):
        for fault in timeline(seed, seconds=60, shape=shape):
            assert hasattr(Faults, f"_{fault.kind}"), fault
            name = fault.target.split()[0] if fault.target else ""
            if fault.kind == "trouble":
                assert name in LINKS or name.removeprefix("payers-") in shape.processes
                assert fault.target.split()[1] in TROUBLES
            elif fault.kind == "staff":
                assert name in ACTS
            elif name:
                assert name in shape.processes


def test_seeds_that_once_showed_something_are_kept_with_what_they_showed() -> None:
    kept = known_seeds()

    assert kept
    assert all(one.found and one.shape in SHAPES.values() and one.seconds > 0 for one in kept)
