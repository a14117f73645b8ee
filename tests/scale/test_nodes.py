"""The documented topology, small: two nodes behind the balancer share the calls, each with streams of its own."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings

from loa_site.local import ports
from loa_site.local.chain import Chain
from loa_site.local.local_secrets import local_secrets
from loa_site.local.postgres import Postgres
from loa_site.local.redis import Redis
from tests.scale import load
from tests.scale.scaling import streams_of
from tests.scale.topology import Backing, Shape, nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CALLERS, SECONDS, WINDOWS = 4, 5.0, 12
UNBALANCED = (
    "SELECT count(*) FROM (SELECT a.denomination FROM billing.posting p JOIN billing.account a ON a.id = p.account_id"
    " GROUP BY a.denomination HAVING sum(p.amount) <> 0) t"
)


@pytest.fixture
def servers(tmp_path: Path, own_database: dict[str, str]) -> Iterator[Backing]:
    """This run's database server and chain, with a database and a Redis that only these nodes use."""
    database = urlsplit(own_database["DATABASE_URL"])
    rpc_url = settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0]
    redis = Redis(tmp_path / "redis", ports.free_port())
    redis.start()
    yield Backing(
        tmp_path,
        Postgres(tmp_path / "unused", database.port or 0),
        redis,
        Chain(tmp_path / "chain", urlsplit(rpc_url).port or 0),
        local_secrets(tmp_path),
        database=database.path.strip("/"),
    )
    redis.stop()


def test_two_nodes_answer_every_call_and_write_to_streams_of_their_own(servers: Backing) -> None:
    with nodes(servers, Shape(2)) as running, psycopg.connect(servers.admin_url, autocommit=True) as watcher:
        keys = load.made_keys(running.variables, count=CALLERS)
        before = streams_of(watcher)
        paid, refused, grown = 0, 0, set[int]()
        for _ in range(WINDOWS):  # a process's first calls load what they need, which takes a busy machine long
            answers = load.key_window(running.base_url, keys, seconds=SECONDS)
            paid, refused = paid + len(answers.latencies), refused + sum(answers.others.values())
            after = streams_of(watcher)
            grown = {stream for stream, sequence in after.items() if sequence > before.get(stream, 0)}
            if paid >= 2 * CALLERS and len(grown) >= 2:
                break
        row = watcher.execute(UNBALANCED).fetchone()

    assert refused == 0
    assert paid >= 2 * CALLERS
    assert len(grown) >= 2
    assert row == (0,)
