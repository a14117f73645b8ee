"""A container engine of this machine's own, and a base image made of Debian's packages where no registry is reached.

The engine is Docker's daemon with its data under `.loa/`, without a bridge or firewall rules: containers use the
machine's network, so the services of a test run are reached on 127.0.0.1. Needs root and overlayfs. The base stands in
for `python:3.13-slim`: the same Debian, its own Python 3.11.
"""

import gzip
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loa_site.local import binaries

HOME: Final = binaries.ROOT / ".loa" / "infra" / "image"
BASE_IMAGE: Final = "loa-base:local"
IMAGE: Final = "loa-finn:local"
RELEASE: Final = "bookworm"
PACKAGES: Final = "python3,python3-venv,ca-certificates"
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
START_SECONDS: Final = 60
BUILD_SECONDS: Final = 900


class EngineFailed(RuntimeError):
    """Raised when the engine or a build ended badly; the message is their own last words."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running daemon."""

    socket: Path

    def docker(self, *arguments: str, seconds: float = 120, stdin: Any = None) -> str:
        """What the client printed on standard output. Raises EngineFailed."""
        return self._call(arguments, seconds, stdin).stdout.strip()

    def logs(self, name: str) -> str:
        """What a container wrote to both of its outputs."""
        done = self._call(("logs", name), 60, None)
        return done.stdout + done.stderr

    def _call(self, arguments: Sequence[str], seconds: float, stdin: Any) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            ["docker", *arguments],
            env=os.environ | {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "0"},
            cwd=binaries.ROOT,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise EngineFailed((done.stdout + done.stderr)[-3000:])
        return done

    def described(self, kind: str, name: str) -> dict[str, Any]:
        """What the engine knows of an image or a container."""
        [found] = json.loads(self.docker(kind, "inspect", name))
        description: dict[str, Any] = found
        return description


@contextmanager
def engine() -> Iterator[Engine]:
    """A daemon until the block ends. Raises EngineFailed when it does not start."""
    HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="loa-engine-") as scratch:
        run, log = Path(scratch), (HOME / "dockerd.log").open("wb")
        command = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2"]
        command += ["--data-root", str(HOME / "data"), "--exec-root", str(run / "exec"), "--pidfile", str(run / "pid")]
        daemon = subprocess.Popen(
            [*command, "--host", f"unix://{run / 'socket'}"], stdout=log, stderr=log, start_new_session=True
        )
        running = Engine(run / "socket")
        try:
            _wait_until_it_answers(running, daemon)
            yield running
        finally:
            _end(running, daemon)
            _unmount_below(run)
            log.close()


def _wait_until_it_answers(running: Engine, daemon: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and daemon.poll() is None:
        with suppress(EngineFailed, subprocess.TimeoutExpired):
            running.docker("info", seconds=10)
            return
        time.sleep(0.2)
    raise EngineFailed((HOME / "dockerd.log").read_text()[-2000:])


def _end(running: Engine, daemon: "subprocess.Popen[bytes]") -> None:
    """Containers are removed before their daemon, which would leave them running."""
    with suppress(EngineFailed, subprocess.TimeoutExpired):
        left = running.docker("ps", "--all", "--quiet", seconds=20).split()
        if left:
            running.docker("rm", "--force", "--volumes", *left, seconds=60)
    daemon.terminate()
    try:
        daemon.wait(30)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait(10)


def _unmount_below(folder: Path) -> None:
    """The daemon leaves the name of its network's place mounted; a folder with a mount in it cannot be removed."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((one for one in mounted if one.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", place], check=True)


def make_base(running: Engine) -> str:
    """The base image, made of packages once and kept. Raises EngineFailed, subprocess.CalledProcessError."""
    with suppress(EngineFailed):
        running.docker("image", "inspect", BASE_IMAGE)
        return BASE_IMAGE
    with tempfile.TemporaryDirectory(prefix="loa-base-") as scratch:
        root = Path(scratch) / "root"
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(root), *_mirror()]
        with (HOME / "debootstrap.log").open("wb") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, timeout=BUILD_SECONDS)
        # The machine's own certificates, for a package registry behind a proxy of its own.
        shutil.copyfile(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
        shutil.rmtree(root / "var" / "cache" / "apt", ignore_errors=True)
        archive = Path(scratch) / "root.tar"
        subprocess.run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), "."], check=True)
        with archive.open("rb") as stream:
            running.docker("import", *_settings_of_pip(), "-", BASE_IMAGE, stdin=stream, seconds=300)
    return BASE_IMAGE


def _mirror() -> list[str]:
    """Where this machine itself gets Debian's packages; nothing where it has no such list."""
    text = "\n".join(path.read_text() for path in Path("/etc/apt").rglob("*.sources"))
    found = [line.split()[1] for line in text.splitlines() if line.startswith("URIs:") and line.endswith("/debian")]
    return found[:1]


def _settings_of_pip() -> list[str]:
    given = {"PIP_CERT": str(CERTIFICATES), "PIP_DEFAULT_TIMEOUT": "180"}
    for name in ("PIP_INDEX_URL", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        if name in os.environ:
            given[name] = os.environ[name]
    return [part for name, value in given.items() for part in ("--change", f"ENV {name}={value}")]


def build(running: Engine, *, base: str, folder: Path = binaries.ROOT) -> str:
    """The service's image, built from a folder as the Dockerfile says. Raises EngineFailed."""
    arguments = ("--file", str(folder / "infra" / "docker" / "Dockerfile"), "--build-arg", f"BASE={base}")
    said = running.docker("build", "--network=host", *arguments, "--tag", IMAGE, str(folder), seconds=BUILD_SECONDS)
    with gzip.open(HOME / "build.log.gz", "wt") as log:
        log.write(said)
    running.docker("image", "prune", "--force")
    return IMAGE


def run(running: Engine, name: str, command: Sequence[str], variables: dict[str, str]) -> None:
    """Start a container as infra/compose.yml would: nobody, read-only, without rights, two folders in memory."""
    bounds = ["--read-only", "--user", "10001:10001", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"]
    bounds += ["--tmpfs=/tmp", "--tmpfs=/run/loa:uid=10001,gid=10001", "--network=host"]
    given = [part for pair in variables.items() for part in ("--env", "=".join(pair))]
    running.docker("run", "--detach", "--name", name, *bounds, *given, IMAGE, *command)
