"""A machine without a Chromium: the suite says that it was not run, and never looks as if it had passed."""

import os
import subprocess
import sys

import pytest

from tests.browser.chromium import HOW_TO_GET_IT, ROOT

ONE_TEST = "tests/browser/test_public_pages.py::test_each_kind_of_document_is_clean_accessible_and_fits"


def run_without_chromium(**variables: str) -> tuple[int, str]:
    """Exit code and output of a run of one browser test on such a machine."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"CHROMIUM_PATH": "/nowhere/chromium"} | variables
    command = [sys.executable, "-m", "pytest", ONE_TEST, "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return run.returncode, run.stdout


@pytest.mark.slow
def test_without_a_chromium_the_run_passes_and_says_what_was_not_run():
    code, output = run_without_chromium()

    assert code == 0
    assert f"browser tests not run: no Chromium was found; {HOW_TO_GET_IT}" in output


@pytest.mark.slow
def test_under_ci_a_missing_chromium_fails_the_run():
    code, output = run_without_chromium(CI="true")

    assert code == 1
    assert "not run: no Chromium was found" in output
