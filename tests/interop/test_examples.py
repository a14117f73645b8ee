"""The clients in `examples/` pay the running site, as a reader of that folder would run them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loa_site.local import binaries
from tests.interop import environments
from tests.interop.observing import CLIENT_SECONDS, INVOKE, body_for

EXAMPLES = binaries.ROOT / "examples"
TSC = environments.NPM / "node_modules" / "typescript" / "bin" / "tsc"
STRICT = ("--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext", "--skipLibCheck")

pytestmark = pytest.mark.interop


def completed(command: list[str], *, folder: Path, run: dict[str, Any], prompt: str) -> str:
    """What an example printed; it must succeed."""
    result = subprocess.run(
        command,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "BASE_URL": run["base_url"],
            "URL_PATH": INVOKE,
            "PRIVATE_KEY": run["payer_private_keys"][5],
            "BODY": json.dumps(body_for(prompt)),
            "PYTHON": sys.executable,
        },
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert result.returncode == 0, f"{command}: {result.stdout[-800:]} {result.stderr[-800:]}"
    return result.stdout


def require_answer(printed: str, *, prompt: str, runs: Callable[[str], int]) -> None:
    answer = json.loads(printed.strip().splitlines()[-1])
    assert answer["payment_id"].startswith("pay_")
    assert runs(prompt) == 1


def test_the_curl_example_pays(
    run: dict[str, Any], prompt: str, handler_runs: Callable[[str], int], tmp_path: Path
) -> None:
    printed = completed(["sh", str(EXAMPLES / "pay.sh")], folder=tmp_path, run=run, prompt=prompt)

    require_answer(printed, prompt=prompt, runs=handler_runs)


def test_the_python_example_pays(
    run: dict[str, Any], installed: dict[str, Any], prompt: str, handler_runs: Callable[[str], int]
) -> None:
    python = environments.SDK / "bin" / "python"

    printed = completed([str(python), "-P", str(EXAMPLES / "pay.py")], folder=environments.SDK, run=run, prompt=prompt)

    require_answer(printed, prompt=prompt, runs=handler_runs)


def test_the_typescript_example_has_no_type_error_and_pays(
    run: dict[str, Any], installed: dict[str, Any], prompt: str, handler_runs: Callable[[str], int]
) -> None:
    node = shutil.which("node") or str(Path(sys.executable).with_name("node"))
    shutil.copy(EXAMPLES / "pay.ts", environments.NPM / "pay.ts")

    completed([node, str(TSC), *STRICT, "pay.ts"], folder=environments.NPM, run=run, prompt=prompt)
    printed = completed([node, "pay.js"], folder=environments.NPM, run=run, prompt=prompt)

    require_answer(printed, prompt=prompt, runs=handler_runs)
