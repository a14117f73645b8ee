"""What is installed is what was locked: hashes, no strangers, no known vulnerability (faults.md 87)."""

import hashlib
import itertools
import json
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loa_site.local import binaries

LOCKS = [binaries.ROOT / "requirements.lock", *sorted((binaries.ROOT / "tests").glob("*/*/*.lock"))]
PINNED = re.compile(r"^[A-Za-z0-9._-]+(\[[\w,-]+\])?==[\w.+!-]+( ; .+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
VULNERABLE, SOUND = "loa-test-vulnerable", "loa-test-sound"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(binaries.ROOT)))
def test_every_line_of_a_lock_is_one_version_with_its_hashes(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if line and not line.lstrip().startswith("#")]
    heads = [line for line in lines if not line.startswith(" ")]
    hashes = [line for line in lines if line.startswith(" ")]

    assert heads
    assert [line for line in heads if not PINNED.match(line)] == []
    assert [line for line in hashes if not HASH.match(line)] == []
    for head, after in itertools.pairwise(lines):
        assert head.startswith(" ") or after.startswith(" "), f"{head} has no hash"


def test_every_npm_package_has_one_version_and_its_digest() -> None:
    packages = json.loads((binaries.ROOT / "package-lock.json").read_text())["packages"]
    wanted = json.loads((binaries.ROOT / "package.json").read_text())

    assert [name for name, one in packages.items() if name and not one.get("integrity", "").startswith("sha512-")] == []
    ranges = [version for kind in ("dependencies", "devDependencies") for version in wanted.get(kind, {}).values()]
    assert [version for version in ranges if not re.fullmatch(r"\d+\.\d+\.\d+(-[\w.]+)?", version)] == []


def wheel(folder: Path, name: str, *, says: str) -> tuple[Path, str]:
    """A package of one line, and its hash."""
    module, path = name.replace("-", "_"), folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
    about = f"{module}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{module}.py", f"SAYS = {says!r}\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def install(folder: Path, requirements: str) -> subprocess.CompletedProcess[str]:
    """Install as bootstrap.py does, from a folder instead of a registry."""
    (folder / "requirements.lock").write_text(requirements)
    command = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-index", "--find-links", str(folder)]
    command += [
        "--no-cache",
        "--target",
        str(folder / "site"),
        "--require-hashes",
        "-r",
        str(folder / "requirements.lock"),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_a_package_that_was_exchanged_is_not_installed(tmp_path: Path) -> None:
    _, honest = wheel(tmp_path, SOUND, says="honest")
    wheel(tmp_path, SOUND, says="hijacked")

    done = install(tmp_path, f"{SOUND}==1.0 --hash=sha256:{honest}\n")

    assert done.returncode != 0
    assert "hash mismatch" in done.stderr.lower()
    assert not (tmp_path / "site" / "loa_test_sound.py").exists()


def test_the_honest_one_is_and_a_stranger_without_a_hash_is_not(tmp_path: Path) -> None:
    _, honest = wheel(tmp_path, SOUND, says="honest")
    wheel(tmp_path, VULNERABLE, says="a stranger")

    with_a_stranger = install(tmp_path, f"{SOUND}==1.0 --hash=sha256:{honest}\n{VULNERABLE}==1.0\n")
    assert with_a_stranger.returncode != 0
    assert list((tmp_path / "site").glob("*.py")) == []

    assert install(tmp_path, f"{SOUND}==1.0 --hash=sha256:{honest}\n").returncode == 0
    assert (tmp_path / "site" / "loa_test_sound.py").read_text() == "SAYS = 'honest'\n"


def test_installing_and_building_both_want_hashes() -> None:
    bootstrap = (binaries.ROOT / "bootstrap.py").read_text()
    dockerfile = (binaries.ROOT / "infra" / "docker" / "Dockerfile").read_text()

    installs = [line for line in bootstrap.splitlines() if '"install"' in line]
    assert len(installs) == 2
    assert all('"--require-hashes"' in line for line in installs)
    assert dockerfile.count("pip install") == dockerfile.count("--require-hashes") == 1


class _Osv(BaseHTTPRequestHandler):
    """A database of vulnerabilities that knows one package."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = {"vulns": [VULNERABILITY]} if asked["package"]["name"] == VULNERABLE else {}
        body = json.dumps(known).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A test's server is quiet."""


VULNERABILITY = {
    "id": "PYSEC-2026-1",
    "summary": "Gives everything away.",
    "details": "Gives everything away.",
    "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": VULNERABLE, "purl": f"pkg:pypi/{VULNERABLE}"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
            "versions": ["1.0"],
        }
    ],
}


@pytest.fixture
def osv() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Osv)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [(SOUND, 0), (VULNERABLE, 1)])
def test_the_audit_is_red_for_a_known_vulnerability_and_for_nothing_else(
    osv: str, tmp_path: Path, name: str, code: int
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"{name}==1.0 --hash=sha256:{'0' * 64}\n")
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "-r", str(lock)]
    command += ["--vulnerability-service", "osv", "--osv-url", osv, "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(
        [*command, "--cache-dir", str(tmp_path)], capture_output=True, text=True, timeout=90, check=False
    )

    assert done.returncode == code, done.stderr
    [package] = json.loads(done.stdout)["dependencies"]
    assert [one["id"] for one in package["vulns"]] == (["PYSEC-2026-1"] if code else [])


def test_the_public_workflow_audits_what_is_locked_and_locks_nothing_younger_than_three_weeks() -> None:
    workflow = (binaries.ROOT / ".github" / "workflows" / "ci.yml").read_text()
    makefile = (binaries.ROOT / "Makefile").read_text()

    assert re.search(r"pip_audit --require-hashes --disable-pip -r requirements\.lock", workflow)
    assert re.search(r"pip compile [^\n]*--exclude-newer", makefile.replace("\\\n", " "))
