"""Lighthouse on the pages a visitor meets first: `make lighthouse` installs it and runs this, nothing else does."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from loa_site.local import binaries
from tests.browser.chromium import Chromium, executable
from tests.browser.report import report

PROGRAM = Path(__file__).parent / "lighthouse" / "node_modules" / "lighthouse" / "cli" / "index.js"
SCORE_MIN = 95
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
CHROME_FLAGS = "--headless=new --no-sandbox --disable-dev-shm-usage"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not PROGRAM.exists(), reason="`make lighthouse` installs it"),
]


def scores_of(address: str, folder: Path) -> dict[str, int]:
    """What Lighthouse gives a page on a slow phone, in each category. Units: of a hundred."""
    result = folder / "lighthouse.json"
    command = [str(binaries.node()), str(PROGRAM), address, "--quiet", "--no-enable-error-reporting"]
    command += ["--output=json", f"--output-path={result}", f"--only-categories={','.join(CATEGORIES)}"]
    subprocess.run(
        [*command, f"--chrome-flags={CHROME_FLAGS}"],
        env=os.environ | {"CHROME_PATH": str(executable())},
        check=True,
        timeout=240,
        capture_output=True,
    )
    found = json.loads(result.read_text())["categories"]
    return {name: round(found[name]["score"] * 100) for name in CATEGORIES}


@pytest.mark.parametrize("path", ["/waitlist/", "/"])
def test_lighthouse_gives_95_or_more_in_all_four(browser: Chromium, live_server: LiveServer, tmp_path: Path, path: str):
    scores = scores_of(live_server.url + path, tmp_path)

    report.figures[f"lighthouse {path}"] = scores
    assert {name: score for name, score in scores.items() if score < SCORE_MIN} == {}
