"""A real beat and a real worker: while both live the heartbeat is logged, and whichever is killed, its alarm fires.

Time runs sixty times as fast: a look each second instead of each minute, and so a period of five seconds instead of
five minutes. The lines are what the worker's process wrote.
"""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.infra import hcl
from tests.operations.beating import PROGRAMS, running
from tests.operations.filters import fires, values

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(400)]

[ALARM] = [alarm for alarm in hcl.log_alarms() if alarm.name == "heartbeat_missing"]
PERIOD_SECONDS = ALARM.period / 60


def lines_since(folder: Path, place: int) -> list[str]:
    text = (folder / "worker.log").read_bytes()[place:].decode(errors="replace")
    return [line for line in text.splitlines() if line.startswith("{") and line.endswith("}")]


def is_silent_for_a_period(folder: Path) -> bool:
    place = (folder / "worker.log").stat().st_size
    time.sleep(PERIOD_SECONDS)
    return fires(ALARM, [lines_since(folder, place)])


@pytest.mark.parametrize("victim", ["beat", "worker"])
def test_whichever_dies_the_heartbeat_ends_and_its_alarm_fires(tmp_path: Path, victim: str) -> None:
    with ExitStack() as stack:
        children = {kind: stack.enter_context(running(kind, tmp_path)) for kind in PROGRAMS}
        deadline = time.monotonic() + 240
        while len(values(ALARM, lines_since(tmp_path, 0))) < 2:
            assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()[-2000:]
            time.sleep(0.2)
        assert not fires(ALARM, [lines_since(tmp_path, 0)])

        os.killpg(children[victim].pid, signal.SIGKILL)
        children[victim].wait(10)

        # What was already sent is still done; then there is silence.
        assert any(is_silent_for_a_period(tmp_path) for _ in range(4))
