"""How the load suite measures: figures that are what they say, a marker, a plot, and the harness it runs on."""

from pathlib import Path

import pytest

from tests.load.measuring import Measured, at_once
from tests.load.plot import draw

ROOT = Path(__file__).resolve().parent.parent.parent


def test_figures_hold_throughput_percentiles_and_the_share_of_errors() -> None:
    latencies = [number / 1000 for number in range(1, 101)]
    measured = Measured(latencies=latencies, errors=["ValueError: no"] * 2, seconds=4.0)

    assert measured.figures == {
        "operations": 100,
        "throughput_per_second": 25.0,
        "p50_ms": 50.0,
        "p95_ms": 95.0,
        "p99_ms": 99.0,
        "error_rate": 0.02,
    }


@pytest.mark.django_db
def test_operations_begin_together_and_what_they_raise_is_counted() -> None:
    def third_fails(number: int) -> int:
        if number == 3:
            raise ValueError("no")
        return number

    measured = at_once(8, third_fails)

    assert sorted(measured.answers) == [0, 1, 2, 4, 5, 6, 7]
    assert (measured.errors, len(measured.latencies)) == (["ValueError: no"], 8)


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    figures = {"quotes": {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "throughput_per_second": 100.0}}

    draw(figures, tmp_path / "load.svg")

    text = (tmp_path / "load.svg").read_text()
    assert "<svg" in text
    assert "operations a second" in text or "<path" in text


def test_the_marker_keeps_the_suite_out_of_a_run_that_does_not_want_it(request: pytest.FixtureRequest) -> None:
    ours = [item for item in request.session.items if "/tests/load/" in str(item.path)]

    assert {item.name for item in ours if item.get_closest_marker("load") is None} == set()
    assert len(ours) >= 1


def test_the_suite_runs_on_the_harness_of_the_integration_tests() -> None:
    makefile = (ROOT / "Makefile").read_text()

    assert "SUITE=load LOAD_ROUNDS=$(or $(ROUNDS),5) infra/scripts/test-integration.sh" in makefile
