"""The harness itself: its Compose file, its providers, its marker, and that nothing it started stays behind."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tests import suite_report

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "infra" / "scripts" / "test-integration.sh"
PROVIDER = [sys.executable, "-m", "tests.integration.redis_provider"]
SAY_URL = [sys.executable, "-c", "import os; print(os.environ['TEST_REDIS_URL'], os.environ['TEST_REDIS_PROVIDER'])"]


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in the project's folder, without a Redis that was given to this run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEST_REDIS")} | variables
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_compose_file_has_a_redis_of_version_seven_and_a_runner() -> None:
    services = yaml.safe_load((ROOT / "tests" / "docker-compose.test.yml").read_text())["services"]

    assert set(services) == {"redis", "runner"}
    assert services["redis"]["image"].startswith("redis:7.")
    assert services["redis"]["ports"][0].startswith("127.0.0.1:")
    assert services["runner"]["environment"]["TEST_REDIS_URL"] == "redis://redis:6379/0"
    assert services["runner"]["depends_on"]["redis"]["condition"] == "service_healthy"


def test_the_script_ends_what_it_started_on_every_way_out() -> None:
    text = SCRIPT.read_text()

    assert "trap teardown EXIT INT TERM" in text
    assert "compose down --volumes --remove-orphans --timeout 2 >/dev/null 2>&1 || true" in text
    assert os.access(SCRIPT, os.X_OK)


def test_without_docker_the_compose_provider_says_so_with_exit_code_two(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)

    answer = run(
        "bash", str(SCRIPT), "--provider", "compose", PATH=f"{tmp_path}:{os.environ['PATH']}", PYTHON=sys.executable
    )

    assert (answer.returncode, "Docker does not answer" in answer.stderr) == (2, True)


@pytest.mark.parametrize("ending", ["raise SystemExit(0)", "raise SystemExit(7)", "raise KeyboardInterrupt"])
def test_a_server_is_gone_whatever_became_of_the_command(ending: str) -> None:
    say_and_end = [sys.executable, "-c", f"import os; print(os.environ['TEST_REDIS_URL'], flush=True); {ending}"]

    answer = run(*PROVIDER, "--provider", "embedded", "--", *say_and_end)

    port = int(answer.stdout.strip().rpartition(":")[2].partition("/")[0])
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass
    assert answer.returncode == {"raise SystemExit(0)": 0, "raise SystemExit(7)": 7}.get(ending, answer.returncode)


def test_a_given_redis_is_used_as_it_is() -> None:
    answer = run(*PROVIDER, "--", *SAY_URL, TEST_REDIS_URL="redis://127.0.0.1:9/3")

    assert answer.stdout.split() == ["redis://127.0.0.1:9/3", "given"]


def test_the_marker_keeps_the_suite_out_of_a_run_that_does_not_want_it(request: pytest.FixtureRequest) -> None:
    ours = [item for item in request.session.items if "/tests/integration/" in str(item.path)]

    assert {item.name for item in ours if item.get_closest_marker("integration") is None} == set()
    assert len(ours) >= 1


def test_the_job_of_its_own_runs_the_script_on_docker_and_on_the_machines_redis() -> None:
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["integration"]

    steps = [step["run"] for step in job["steps"] if "run" in step]
    assert "infra/scripts/test-integration.sh --provider compose" in steps
    assert "infra/scripts/test-integration.sh --provider system" in steps


def test_the_figures_are_written_down_below_their_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite_report, "REPORTS", tmp_path)
    report = suite_report.SuiteReport("integration", folder="tests/integration/", seconds_max=30)
    report.figures["redis"] = "redis 7.4"
    passed = SimpleNamespace(nodeid="tests/integration/test_x.py::test_x", when="call", failed=False, outcome="passed")
    report.pytest_runtest_logreport(passed)

    report.pytest_sessionfinish(SimpleNamespace(exitstatus=0))

    document = json.loads((tmp_path / "integration.json").read_text())
    assert (document["suite"], document["passed"], document["failed"]) == ("integration", 1, 0)
    assert document["figures"]["redis"] == "redis 7.4"
    late = SimpleNamespace(exitstatus=0)
    report._began -= 31
    report.pytest_sessionfinish(late)
    assert late.exitstatus == 1
