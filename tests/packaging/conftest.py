"""The wheel, built once, and an empty environment with nothing but it."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from loa_site.local import binaries

TOOLS = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
BUILD_SECONDS = 300


def run(*command: str, folder: Path, **variables: str) -> str:
    """The output of a program that must succeed."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("LOA_", "DJANGO_", "PYTHON"))
    }
    environment |= {"PATH": TOOLS, "UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never", **variables}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert result.returncode == 0, f"{command}:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`python -m build`, as a release makes it: the source archive first, the wheel from that."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--installer", "uv", "--outdir", str(folder), ".", folder=binaries.ROOT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel and what it asks for; the folder with its programs.

    Versions are those of the lock, so that a release made this morning cannot break the test.
    """
    folder = tmp_path_factory.mktemp("environment")
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "--python", sys.executable, str(folder), folder=folder)
    constraints = folder / "constraints.txt"
    pinned = [line.partition(" ")[0] for line in (binaries.ROOT / "requirements.lock").read_text().splitlines()]
    constraints.write_text("\n".join(line for line in pinned if "==" in line))
    python = str(folder / "bin" / "python")
    run(*uv, "pip", "install", "--python", python, "--constraint", str(constraints), str(wheel), folder=folder)
    return folder / "bin"


@pytest.fixture
def empty_database() -> Iterator[dict[str, str]]:
    """A database without a table, as libpq's variables name it."""
    admin = settings.TEST_ADMIN_DATABASE_URL
    name = f"loa_run_{secrets.token_hex(6)}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" OWNER loa_owner')
        try:
            host, port = connection.info.host, str(connection.info.port)
            yield {"PGHOST": host, "PGPORT": port, "PGUSER": "loa_owner", "PGDATABASE": name}
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
