"""A short storm with one seed in every run, and the seeds that once broke something, by hand.

`make storm SEED=n` runs the long form; how many seeds held is in docs/reference/storm.md.
"""

import json
from pathlib import Path

import pytest

from tests.storm.plan import FULL, SMALL
from tests.storm.storm import Storm, Wish

SEED, SECONDS = 1, 20.0
ONCE_BROKEN = sorted(Path(__file__).with_name("seeds").glob("*.json"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_storm_loses_nothing_and_doubles_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    wish = Wish(SEED, SECONDS, SMALL, quiet_seconds=420, answers_min=3)

    outcome = Storm(wish, tmp_path_factory.mktemp("storm"), say=print).run()

    assert outcome.violations == []
    assert outcome.figures["payments"] > 0
    assert outcome.figures["by state"].get("served", 0) > 0


@pytest.mark.integration
@pytest.mark.parametrize("path", ONCE_BROKEN, ids=lambda path: path.stem)
def test_a_seed_that_once_broke_something_holds(path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    known = json.loads(path.read_text())
    shape = SMALL if known["shape"] == "small" else FULL

    outcome = Storm(Wish(known["seed"], known["seconds"], shape), tmp_path_factory.mktemp("storm"), say=print).run()

    assert outcome.violations == []
