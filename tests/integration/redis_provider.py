"""A real Redis for a test run: `python -m tests.integration.redis_provider [--provider NAME] -- COMMAND…`.

Providers: `given` (TEST_REDIS_URL is set already), `testcontainers` (where Docker runs), `system` (a `redis-server` of
version 7 from the machine, as CI installs it) and `embedded` (the Redis-compatible server of the local stack). Without
a name: the given one, else the machine's, else the embedded one. The command runs with TEST_REDIS_URL and
TEST_REDIS_PROVIDER set; the server is stopped whatever becomes of it. The exit code is the command's.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from loa_site.local import ports
from loa_site.local.redis import Redis as EmbeddedRedis

IMAGE = "redis:7.4-alpine"
VERSION = re.compile(r"v=7\.")


class NoRedis(RuntimeError):
    """Raised when the provider that was asked for is not on this machine."""


@contextmanager
def given() -> Iterator[str]:
    """A Redis that somebody else started."""
    url = os.environ.get("TEST_REDIS_URL")
    if not url:
        raise NoRedis("TEST_REDIS_URL is not set.")
    yield url


@contextmanager
def testcontainers() -> Iterator[str]:
    """Redis 7 in a container of its own."""
    from testcontainers.redis import RedisContainer

    with RedisContainer(IMAGE) as container:
        yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"


@contextmanager
def system() -> Iterator[str]:
    """The machine's own Redis 7."""
    program = system_server()
    if program is None:
        raise NoRedis("No redis-server of version 7 was found; `apt-get install redis-server` brings one.")
    with _running(program) as url:
        yield url


@contextmanager
def embedded() -> Iterator[str]:
    """The server of the local stack, which speaks Redis 7.2."""
    with _running(None) as url:
        yield url


PROVIDERS: Mapping[str, Callable[[], AbstractContextManager[str]]] = {
    "given": given,
    "testcontainers": testcontainers,
    "system": system,
    "embedded": embedded,
}


def chosen() -> str:
    """The provider to use when none was named."""
    if os.environ.get("TEST_REDIS_URL"):
        return "given"
    return "system" if system_server() else "embedded"


def system_server() -> str | None:
    """The machine's `redis-server`, if it is of version 7."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return program if VERSION.search(answer.stdout) else None


@contextmanager
def _running(program: str | None) -> Iterator[str]:
    former = os.environ.get("REDIS_SERVER_BIN")
    if program:
        os.environ["REDIS_SERVER_BIN"] = program
    with tempfile.TemporaryDirectory(prefix="loa-redis-") as folder:
        server = EmbeddedRedis(Path(folder), ports.free_port())
        try:
            server.start()
            yield server.url
        finally:
            server.stop()
            if program:
                os.environ.pop("REDIS_SERVER_BIN")
            if former:
                os.environ["REDIS_SERVER_BIN"] = former


def main(arguments: list[str]) -> int:
    """Run the command on the chosen provider; its exit code, or 2 when there is no such Redis here."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.redis_provider", description=__doc__)
    parser.add_argument("--provider", choices=sorted(PROVIDERS))
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    name = options.provider or chosen()
    try:
        with PROVIDERS[name]() as url:
            variables = {"TEST_REDIS_URL": url, "TEST_REDIS_PROVIDER": os.environ.get("TEST_REDIS_PROVIDER", name)}
            return subprocess.run(command, env=os.environ | variables, check=False).returncode
    except NoRedis as missing:
        print(missing, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
