"""Programs that some tests need beside the Python and npm packages: found, or the test says why it did not run.

Where CI=true and the tests run as root, as `.ci/run` does after `tests/infra/install.sh`, nothing may be missing: a
test that cannot run there is a failure.
"""

import os
import shutil
from typing import Final, NoReturn

import pytest

MUST_RUN: Final = os.environ.get("CI") == "true" and os.geteuid() == 0
# What each program is called, and the package of Debian and Ubuntu that has it.
PACKAGES: Final = {
    "docker-compose": "docker-compose",
    "dockerd": "docker.io",
    "debootstrap": "debootstrap",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "shellcheck": "shellcheck",
}


def program(name: str) -> str:
    """The path of a program; without it the test is not run, and in CI fails."""
    found = shutil.which(name)
    if found is None:
        not_run(f"there is no {name} here", how=f"tests/infra/install.sh, or `apt-get install {PACKAGES[name]}`")
    return found


def not_run(why: str, *, how: str) -> NoReturn:
    """End the test: skipped with the reason and what would let it run, in CI failed."""
    sentence = f"not run: {why}; {how}"
    if MUST_RUN:
        pytest.fail(sentence)
    pytest.skip(sentence)
