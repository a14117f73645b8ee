"""A short storm with one seed in every run; `make storm SEED=n` is the long form (docs/reference/storm.md)."""

import pytest

from tests.storm.plan import SMALL
from tests.storm.storm import Storm, Wish

SEED, SECONDS = 1, 20.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500)]


def test_a_storm_loses_nothing_and_doubles_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    wish = Wish(SEED, SECONDS, SMALL, quiet_seconds=420, answers_min=3)

    outcome = Storm(wish, tmp_path_factory.mktemp("storm"), say=print).run()

    assert outcome.violations == []
    assert outcome.figures["payments"] > 0
    assert sum(outcome.figures["faults"].values()) > 0
