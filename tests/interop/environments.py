"""Where the foreign clients live: an npm project and a Python environment under `.loa/interop`, off our import path.

Both are made from the committed locks the first time and reused until a lock changes. Our own package is called
`x402` like the official Python SDK, so the SDK must never share an interpreter with us.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from loa_site.local import binaries

HOME = binaries.ROOT / ".loa" / "interop"
CLIENTS = Path(__file__).parent / "clients"
NPM, SDK = HOME / "npm", HOME / "sdk"
INSTALL_SECONDS = 900


class NotInstalled(Exception):
    """Raised when a client's environment could not be made; the message is the installer's own last words."""


@dataclass(frozen=True, slots=True)
class Client:
    """One published client: its package, the version it speaks, how its script is started, and which way it pays."""

    name: str
    version: int
    command: tuple[str, ...]
    folder: Path
    way: str = "exact-3009"


def clients() -> list[Client]:
    """All five clients, installed. Raises NotInstalled."""
    node = prepared_npm()
    python = prepared_python(SDK, lock=CLIENTS / "requirements.lock")
    return [
        Client("@x402/fetch", 2, (str(node), "fetch-v2.mjs"), NPM),
        Client("@x402/axios", 2, (str(node), "axios-v2.mjs"), NPM),
        Client("x402-fetch", 1, (str(node), "fetch-v1.mjs"), NPM),
        Client("x402-axios", 1, (str(node), "axios-v1.mjs"), NPM),
        Client("x402 (PyPI)", 2, (str(python), "-P", str(CLIENTS / "python_sdk.py")), SDK),
    ]


def prepared_npm() -> Path:
    """The npm project with its packages installed and the scripts beside them; returns node."""
    node = Path(shutil.which("node") or Path(sys.executable).with_name("node"))
    npm = shutil.which("npm") or str(Path(sys.executable).with_name("npm"))
    NPM.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(CLIENTS / name, NPM / name)
    for script in CLIENTS.glob("*.mjs"):
        shutil.copy(script, NPM / script.name)
    shutil.copytree(CLIENTS / "lib", NPM / "lib", dirs_exist_ok=True)
    lock = CLIENTS / "package-lock.json"
    if not is_current(NPM, lock):
        install([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder=NPM)
        mark_current(NPM, lock)
    return node


def prepared_python(folder: Path, *, lock: Path) -> Path:
    """A virtual environment with exactly what `lock` names; returns its interpreter."""
    python = folder / "bin" / "python"
    if not is_current(folder, lock):
        venv.create(folder, with_pip=True, clear=True)
        quiet = ("--quiet", "--disable-pip-version-check")
        # The lock is complete, so nothing is resolved: an extra named by a dependency would count as not pinned.
        locked = ("--no-deps", "--require-hashes", "--requirement", str(lock))
        install([str(python), "-m", "pip", "install", *quiet, *locked], folder=folder)
        mark_current(folder, lock)
    return python


def install(command: list[str], *, folder: Path) -> None:
    """Run an installer. Raises NotInstalled."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOA_")}
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if result.returncode != 0:
        raise NotInstalled((result.stderr or result.stdout)[-600:])


def is_current(folder: Path, lock: Path) -> bool:
    """Whether the folder was installed from this very lock."""
    marker = folder / "installed-from"
    return marker.exists() and marker.read_text() == fingerprint(lock)


def mark_current(folder: Path, lock: Path) -> None:
    """Remember what the folder was installed from."""
    (folder / "installed-from").write_text(fingerprint(lock))


def fingerprint(lock: Path) -> str:
    """The lock's content in one word."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()
