"""That the layers of the house hold, as import-linter reads them from pyproject.toml."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tracked import ROOT


@pytest.mark.slow
def test_every_import_contract_is_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")

    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout[-3000:]
    assert " 0 broken." in result.stdout
