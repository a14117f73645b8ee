"""The image, the Compose file and the chart: not root, read-only, and only what running needs."""

import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from loa_site.local import binaries
from tests.infra.programs import program

INFRA = binaries.ROOT / "infra"
COMPOSE_FILES = (INFRA / "compose.yml", binaries.ROOT / "tests" / "docker-compose.test.yml")
DOCKERFILE = (INFRA / "docker" / "Dockerfile").read_text()


def services() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((INFRA / "compose.yml").read_text())
    found: dict[str, Any] = document["services"]
    return found


def test_compose_names_everything_the_service_is_made_of() -> None:
    assert set(services()) == {
        "web", "settlement", "worker", "beat", "migrate", "postgres", "redis", "otel", "prometheus", "grafana",
    }  # fmt: skip


def test_our_containers_are_nobody_and_write_nothing() -> None:
    for name in ("web", "settlement", "worker", "beat", "migrate"):
        service = services()[name]
        assert (service["user"], service["read_only"], service["cap_drop"]) == ("10001:10001", True, ["ALL"]), name


def test_only_this_machine_reaches_a_port() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]

    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_compose_itself_accepts_the_file(path: Path) -> None:
    command = [program("docker-compose"), "-f", str(path), "config", "-q"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)

    assert (answer.returncode, answer.stderr) == (0, "")


def test_compose_refuses_a_file_that_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yml"
    wrong.write_text("services:\n  web:\n    imagine: loa\n")
    command = [program("docker-compose"), "-f", str(wrong), "config", "-q"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)

    assert answer.returncode != 0
    assert "imagine" in answer.stderr


def test_the_image_runs_as_nobody_and_holds_no_tools_of_development() -> None:
    final = DOCKERFILE.rpartition("FROM ")[2]

    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "apt-get" not in final
    assert "pip install" not in final
    assert "loa_site.health.probe" in final


def test_everything_that_runs_is_in_the_image() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    packages = {path.parent.name for path in binaries.ROOT.glob("*/py.typed")}

    assert packages - copied == set()
    ignored = (binaries.ROOT / ".dockerignore").read_text()
    assert [name for name in sorted(copied) if f"!{name}\n" not in ignored] == []


def test_the_lock_of_the_image_holds_what_running_needs_and_no_more() -> None:
    module = runpy.run_path(str(INFRA / "docker" / "runtime_requirements.py"))
    lock = module["blocks"]((binaries.ROOT / "requirements.lock").read_text())

    chosen = set(module["needed"](lock, {"django", "celery", "web3"}))

    assert {"django", "asgiref", "sqlparse", "celery", "kombu", "web3"} <= chosen
    assert chosen & {"pytest", "ruff", "mypy", "moto", "playwright"} == set()


@pytest.mark.parametrize(
    "path", sorted((INFRA / "helm" / "loa" / "templates").glob("*.yaml")), ids=lambda path: path.name
)
def test_a_template_of_the_chart_keeps_its_pods_in_bounds(path: Path) -> None:
    text = path.read_text()
    pod = (path.parent / "_pod.tpl").read_text()

    assert text.count('include "loa.pod"') == text.count('include "loa.container"') == 1
    for word in (
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "drop: [ALL]",
    ):
        assert word in pod
    assert text.count("{{") == text.count("}}")


def test_the_chart_starts_new_pods_before_it_stops_old_ones() -> None:
    for name in ("web.yaml", "workers.yaml"):
        assert "maxUnavailable: 0" in (INFRA / "helm" / "loa" / "templates" / name).read_text()
