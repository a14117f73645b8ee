"""The topology of docs/how-to/scale-out.md as processes: a balancer, web and worker nodes, one database, one Redis.

Each node is a web process on a port of its own and a worker; each of its processes leases a stream of the ledger of
its own. The database writes to disk as in a deployment. With `pooler` the nodes reach it through PgBouncer.
"""

import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loa_site.local import binaries, ports, process, site
from loa_site.local.chain import Chain
from loa_site.local.local_secrets import local_secrets
from loa_site.local.postgres import ADMIN, APPLICATION, OWNER, Postgres
from loa_site.local.redis import Redis
from tests.bench.x402 import family_of
from tests.scale.pooler import pooler
from tests.scale.shares import Share, can_share, pinned

DATABASE = "scale"
PATIENCE_SECONDS = 90.0
WEB_THREADS = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """How many nodes, what share of a core each has (0: what it can get), and whether a pooler stands between."""

    nodes: int
    share: float = 0.0
    through_pooler: bool = False


@dataclass(slots=True)
class Backing:
    """What the nodes stand on; lives through all node counts."""

    folder: Path
    postgres: Postgres
    redis: Redis
    chain: Chain
    secrets: dict[str, str]
    database: str = DATABASE

    def variables(self, port: int, *, pooled_url: str = "") -> dict[str, str]:
        """The variables of a node's processes; `port` is where clients find the site."""
        servers = site.Servers(
            database_url=pooled_url or self.postgres.url(self.database, role=APPLICATION),
            database_direct_url=self.postgres.url(self.database, role=OWNER),
            redis_url=self.redis.url,
            rpc_url=self.chain.url,
        )
        own = {  # whatever the shell or a test run around this one names
            "DATABASE_URL": servers.database_url,
            "DATABASE_DIRECT_URL": servers.database_direct_url,
            "DATABASE_THROUGH_POOLER": "true" if pooled_url else "false",
            "REDIS_URL": servers.redis_url,
            "CELERY_BROKER_URL": servers.redis_url,
            "RPC_URL": servers.rpc_url,
        }
        return site.variables(servers, secrets=self.secrets, port=port) | own

    @property
    def admin_url(self) -> str:
        return self.postgres.url(self.database, role=ADMIN)


@dataclass(slots=True)
class Running:
    """Nodes that answer: where, and which processes they are, by what they do. The last share is everything else's."""

    base_url: str
    variables: dict[str, str]
    groups: dict[str, list[int]]
    shares: list[Share] = field(default_factory=list)

    def bind_shares(self) -> None:
        """From now on each node has its share of a core and no more."""
        for share in self.shares:
            share.bind()

    def throttled(self) -> float:
        """The mean of the nodes' throttled periods; 0 without shares."""
        bounded = self.shares[:-1]
        return sum(share.throttled_share() for share in bounded) / max(1, len(bounded))


@contextmanager
def backing(folder: Path) -> Iterator[Backing]:
    """Fresh servers with a migrated database, durable as a deployment's."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    secrets = local_secrets(folder)
    passwords = dict.fromkeys((ADMIN, OWNER, APPLICATION), "only-for-measuring")
    servers = Backing(
        folder,
        Postgres(folder / "database", ports.free_port(), passwords),
        Redis(folder / "redis", ports.free_port()),
        Chain(folder / "chain", ports.free_port()),
        secrets,
    )
    with ExitStack() as exits:
        for server in (servers.postgres, servers.redis, servers.chain):
            exits.callback(server.stop)
            server.start()
        servers.postgres.create_database(DATABASE)
        prepared = subprocess.run(
            [sys.executable, "-m", "loa_site.local.prepare"],
            cwd=binaries.ROOT,
            env=os.environ | servers.variables(0) | {"LOCAL_ADMIN_PASSWORD": secrets["admin_password"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if prepared.returncode != 0:
            raise RuntimeError(prepared.stdout[-3000:])
        yield servers


@contextmanager
def nodes(servers: Backing, shape: Shape) -> Iterator[Running]:
    """So many nodes behind a balancer; all of them answer when this yields, and all have ended afterwards."""
    with ExitStack() as exits:
        pooled_url, groups = "", _servers(servers)
        if shape.through_pooler:
            running = exits.enter_context(
                pooler(
                    servers.folder / "pooler",
                    server_port=servers.postgres.port,
                    password=servers.postgres.passwords.get(APPLICATION, ""),
                )
            )
            pooled_url = running.url(servers.database, role=APPLICATION)
            groups["pooler"] = [running.record.pid]
        port, node_ports = ports.free_port(), [ports.free_port() for _ in range(shape.nodes)]
        variables = servers.variables(port, pooled_url=pooled_url)
        shares = [Share(shape.share) for _ in range(shape.nodes)] if shape.share else []
        for share in shares:
            exits.callback(share.remove)
        commands = [
            command
            for number, node_port in enumerate(node_ports)
            for command in _node(servers, number, node_port, variables=variables, share=shares[number : number + 1])
        ]
        balancer = [sys.executable, "-m", "tests.scale.balancer", str(port), *map(str, node_ports)]
        commands.append(_command(servers, "balancer", balancer, variables))
        started = [process.start(command) for command in commands]
        exits.callback(process.stop_all, [record for _, record in started])
        for name in ("web", "worker", "balancer"):
            groups[name] = [record.pid for _, record in started if record.name.startswith(name)]
        for number, node_port in enumerate(node_ports):
            _wait_until_answering(node_port, log=servers.folder / f"web-{number}.log")
        if can_share():
            base = Share(0)  # servers, balancer and load, and nodes without a share: as if nobody else were here
            exits.callback(base.remove)
            bounded = {"web", "worker"} if shares else set()
            own = [pid for name, pids in groups.items() if name not in bounded for pid in pids]
            base.adopt([os.getpid(), *(member for pid in own for member in family_of(pid))])
            shares.append(base)
        yield Running(f"http://{ports.HOST}:{port}", variables, groups, shares)


def _servers(servers: Backing) -> dict[str, list[int]]:
    named = {"postgres": servers.postgres, "redis": servers.redis, "chain": servers.chain}
    return {name: [server.record.pid] for name, server in named.items() if server.record}


def _node(
    servers: Backing, number: int, port: int, *, variables: Mapping[str, str], share: list[Share]
) -> list[process.Command]:
    """A node's two processes: pinned to a core, and inside the node's share when there is one."""
    own = dict(variables) | {"PROMETHEUS_MULTIPROC_DIR": str(servers.folder / f"metrics-{number}")}
    shutil.rmtree(own["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
    Path(own["PROMETHEUS_MULTIPROC_DIR"]).mkdir()
    python = [sys.executable, "-m"]
    web = [
        *(*python, "granian", "--interface", "wsgi", "--host", ports.HOST, "--port", str(port), "--no-ws"),
        *("--workers", "1", "--blocking-threads", str(WEB_THREADS), "--backpressure", str(2 * WEB_THREADS)),
        *("--workers-kill-timeout", "7", "--http", "1", "loa_site.wsgi:application"),
    ]
    worker = [*python, "celery", "-A", "loa_site.celery", "worker", "--loglevel", "warning", "--without-mingle"]
    worker += ["-Q", "settlement,default", "-c", "1", "-n", f"node{number}@%h"]
    lines = {f"web-{number}": web, f"worker-{number}": worker}
    return [
        _command(servers, name, share[0].around(line) if share else pinned(line, node=number), own)
        for name, line in lines.items()
    ]


def _command(servers: Backing, name: str, line: list[str], variables: Mapping[str, str]) -> process.Command:
    return process.Command(
        name=name, arguments=line, log=servers.folder / f"{name}.log", environment=os.environ | dict(variables)
    )


def _wait_until_answering(port: int, *, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _answers(port):
        if time.monotonic() > deadline:
            raise RuntimeError(f"a node did not answer:\n{process.last_lines(log)}")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
