"""That the committed build is what the committed sources give."""

import subprocess

import pytest

import contracts
from loa_site.local import binaries


@pytest.mark.parametrize("name", contracts.OWN)
def test_the_build_was_made_from_the_sources_beside_it(name: str) -> None:
    assert contracts.load(name).record["source_sha256"] == contracts.source_sha256()


@pytest.mark.slow
def test_compiling_again_gives_the_committed_build() -> None:
    if not (binaries.ROOT / "node_modules" / "solc").is_dir():
        pytest.skip("the compiler is not installed")

    check = subprocess.run(
        [binaries.node(), "contracts/build.mjs", "--check"], cwd=binaries.ROOT, capture_output=True, text=True
    )

    assert check.returncode == 0, check.stderr
