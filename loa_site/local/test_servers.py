"""The servers of one test run: a database server with a fresh database, Redis and a chain, gone when the run ends.

pytest-django reads the settings before any fixture, so the servers must be there before pytest is. With `reuse` the
database server of a kept stack is shared; Redis and the chain are started for each run, because tests flush the one
and turn the clock of the other; TEST_REDIS_URL names a Redis that somebody else started for this run alone.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from loa_site.local import databases, ports, wallets
from loa_site.local.chain import Chain
from loa_site.local.errors import LocalStackError
from loa_site.local.postgres import Postgres
from loa_site.local.redis import Redis
from loa_site.local.stack import HOME, FolderLock, running_record

SHARED = HOME / "shared"
SLOTS = 8


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
