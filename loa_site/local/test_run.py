"""One run of the tests: servers, a fresh database, pytest as a child with the variables, and everything stopped.

pytest-django reads the settings before any fixture, so the servers must be there before pytest is. With `reuse` the
database server of a kept stack is shared; Redis and the chain are started for each run, because tests flush the one
and turn the clock of the other; TEST_REDIS_URL names a Redis that somebody else started for this run alone.

The whole suite is run by several workers (pytest-xdist), each with servers of its own: most tests wait for blocks,
leases and killed processes, and one process would sleep through three quarters of the time. TEST_WORKERS says how many.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from loa_site.local import binaries, databases, ports, wallets
from loa_site.local.chain import Chain
from loa_site.local.errors import LocalStackError
from loa_site.local.postgres import Postgres
from loa_site.local.redis import Redis
from loa_site.local.stack import HOME, FolderLock, running_record

SHARED = HOME / "shared"
SLOTS = 8
WORKERS = 3  # of a whole run: two cores hold them, and more would make tests of timing late


TESTS_FAILED = 1  # pytest's exit code
LAST_FAILED = binaries.ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
FLAKY_MAX = 8  # more failures than this are no accident of timing


def run(arguments: list[str], *, reuse: bool = False) -> int:
    """Run pytest with the arguments; its exit code.

    Under CI a few tests that failed are named and run once more, alone and on fresh servers. What fails twice fails the
    run; a test that was named and passed then is flaky, and wants an issue.
    """
    LAST_FAILED.unlink(missing_ok=True)
    code = _run_once(arguments, reuse=reuse)
    suspects = _last_failed()
    if code != TESTS_FAILED or os.environ.get("CI") != "true" or not 0 < len(suspects) <= FLAKY_MAX:
        return code
    print("\nThese failed and are run once more, alone:", *suspects, sep="\n  ", flush=True)
    return _run_once(["--last-failed", "--last-failed-no-failures", "none"], reuse=reuse)


def _run_once(arguments: list[str], *, reuse: bool) -> int:
    workers = int(os.environ.get("TEST_WORKERS", WORKERS)) if not arguments and not reuse else 1
    with ExitStack() as exits:
        if workers == 1:
            variables = exits.enter_context(environment(reuse=reuse))
        else:
            # The threads stay as long as the servers they start, which end with whoever started them.
            pool = exits.enter_context(ThreadPoolExecutor(workers))
            opened = list(pool.map(lambda _: exits.enter_context(environment()), range(workers)))
            # What the workers differ in, by their names; the process that hands out the tests has the first one's.
            variables = opened[0] | {f"TEST_WORKER_gw{number}": json.dumps(own) for number, own in enumerate(opened)}
            arguments = ["-p", "loa_site.local.test_worker", "-n", str(workers), "--dist", "loadfile"]
        child = subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments], cwd=binaries.ROOT, env=os.environ | variables
        )
        return _wait(child)


def _last_failed() -> list[str]:
    """The tests that failed in the run that has just ended; what failed before there were tests is none of them."""
    failed = json.loads(LAST_FAILED.read_text()) if LAST_FAILED.exists() else {}
    return sorted(name for name in failed if "::" in name)


@contextmanager
def environment(*, reuse: bool = False) -> Iterator[dict[str, str]]:
    """The variables of a run, valid as long as the context is open."""
    with ExitStack() as exits:
        scratch = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="loa-test-")))
        postgres = shared_postgres() if reuse else exits.enter_context(own_postgres())
        variables = {"DJANGO_SETTINGS_MODULE": "loa_site.settings.test", "LOA_TEST_SERVICES": "1"}
        template = databases.ensure_template(postgres, {**os.environ, **variables})
        database = exits.enter_context(databases.copy_of(postgres, template))
        chain = Chain(scratch / "chain", ports.free_port())
        servers: list[Redis | Chain] = [chain]
        redis_url = os.environ.get("TEST_REDIS_URL")
        if not redis_url:
            redis = Redis(scratch / "redis", ports.free_port())
            servers.append(redis)
            redis_url = redis.url
        for server in servers:
            exits.callback(server.stop)
            server.start()
        yield (
            variables
            | databases.urls_of(postgres, database)
            | {
                "REDIS_URL": redis_url,
                "CELERY_BROKER_URL": redis_url,
                "RPC_URL": chain.url,
                "LOA_RELAYER_PRIVATE_KEY": wallets.relayer().private_key,
                "LOA_REFUND_PRIVATE_KEY": wallets.refund_float().private_key,
                "LOA_PAY_TO": wallets.pay_to().address,
                "LOA_TEST_ADMIN_DATABASE_URL": postgres.url("postgres"),
                "LOA_TEST_TEMPLATE_DATABASE": template,
            }
        )


def shared_postgres() -> Postgres:
    """The database server of the kept stack; raises LocalStackError when it does not run."""
    record = running_record(SHARED)
    if record is None:
        raise LocalStackError(
            "No kept services are running.", "`python -m loa_site.local services --keep` starts them."
        )
    url = urlsplit(str(record["database_admin_url"]))
    return Postgres(SHARED / "database", url.port or 0)


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A database server for this run, over the first data folder no other run is using."""
    for slot in range(1, SLOTS + 1):
        folder = HOME / f"test-{slot}"
        lock = FolderLock(folder)
        if not lock.take():
            continue
        postgres = Postgres(folder / "database", ports.free_port())
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.stop()
            lock.give_back()
        return
    raise LocalStackError(f"{SLOTS} test runs are under way already.", "Wait for one of them to end.")


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Wait for pytest; Ctrl-C is pytest's to handle, a request to end is passed on to it."""
    previous_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    previous_end = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        return child.wait()
    finally:
        signal.signal(signal.SIGINT, previous_interrupt)
        signal.signal(signal.SIGTERM, previous_end)
