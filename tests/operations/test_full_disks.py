"""Disks that are full, gone or read-only stop no payment: logs go to standard error and may fail (faults.md 89)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from billing.selectors.reports import conservation
from telemetry.metrics_folder import FOLDER_VARIABLE, give_up_without_room
from tests.infra.programs import not_run
from tests.journeys.live_site import LiveSite
from tests.journeys.paying import INVOKE, funded, header_for

QUESTION = {"model": "loa-demo", "prompt": "Is there room?", "max_tokens": 8}


def paid(site: LiveSite) -> int:
    return site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header_for(site, funded(), QUESTION)}).status


@contextmanager
def small_disk(folder: Path, *options: str) -> Iterator[Path]:
    """A file system of one megabyte of its own, gone at the end."""
    if os.geteuid() != 0:
        not_run("mounting a file system needs root", how="run the tests as root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(("size=1m", *options)), "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "everything").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            assert os.statvfs(folder).f_bavail == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_a_site_whose_log_has_no_room_goes_on_being_paid() -> None:
    with LiveSite(log=Path("/dev/full")) as site:
        assert site.ask("GET", "/no-such-page").status == 404
        assert [paid(site) for _ in range(2)] == [200, 200]
        assert site.ask("GET", "/readyz").status == 200

    assert conservation().is_conserved


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_site_whose_disk_is_full_or_read_only_goes_on_being_paid(tmp_path: Path, kind: str) -> None:
    with small_disk(tmp_path / "disk", *(["ro"] if kind == "read-only" else [])) as disk:
        if kind == "full":
            fill(disk)
        variables = {
            FOLDER_VARIABLE: str(disk / "metrics"),
            "LOA_TIMELINE_FILE": str(disk / "timeline.json"),
            "LOA_ANCHOR_PATH": str(disk / "anchors"),
            "TMPDIR": str(disk),
        }
        with LiveSite(variables, log=tmp_path / "web.log") as site:
            assert paid(site) == 200
            assert site.ask("GET", "/livez").status == 200
            assert b"x402_quotes_total" in site.ask("GET", "/metrics").body

    said = (tmp_path / "web.log").read_text()
    assert f"{FOLDER_VARIABLE}: no room" in said
    reports = [json.loads(line) for line in said.splitlines() if "recovery.note" in line]
    assert all(report["level"] == "warning" for report in reports)
    assert conservation().is_conserved


def test_a_folder_with_room_is_kept_and_made_where_it_is_not_there(tmp_path: Path) -> None:
    environment = {FOLDER_VARIABLE: str(tmp_path / "not" / "yet")}

    assert give_up_without_room(environment) is False
    assert environment[FOLDER_VARIABLE] == str(tmp_path / "not" / "yet")
    assert list((tmp_path / "not" / "yet").iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/nowhere"])
def test_a_folder_that_cannot_be_made_is_given_up_with_a_word(capsys: pytest.CaptureFixture[str], folder: str) -> None:
    environment = {FOLDER_VARIABLE: folder}

    assert give_up_without_room(environment) is True
    assert FOLDER_VARIABLE not in environment
    assert folder in capsys.readouterr().err


def test_without_the_variable_there_is_nothing_to_give_up() -> None:
    environment: dict[str, str] = {}

    assert give_up_without_room(environment) is False


@pytest.mark.slow
def test_a_process_whose_standard_error_is_gone_still_ends_well() -> None:
    program = (
        "import os, sys; os.close(2); os.open('/dev/full', os.O_WRONLY);"
        "os.environ['PROMETHEUS_MULTIPROC_DIR'] = '/proc/nowhere';"
        "import telemetry; from telemetry.metrics import counter;"
        "counter('a_total', 'Counts.').inc(); print('counted')"
    )
    answer: Any = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert answer.stdout.strip() == "counted"
