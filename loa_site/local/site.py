"""The site's own processes on the local stack: web, two workers, beat, and the variables they all share."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loa_site.local import agents, ports, process, wallets
from loa_site.local.stack import HOME, LocalStack

ADMIN_USER = "admin"
DATABASE = "loa"
# Limits that protect a public site would only slow a developer's machine down.
LOCAL_RATE_LIMIT = 1_000_000
LIMITED = ("key", "wallet", "challenge", "csp_report", "sign_in", "waitlist", "waitlist_all")


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the services are, whether ours or given by the environment."""

    database_url: str
    database_direct_url: str
    redis_url: str
    rpc_url: str


def servers_of(stack: LocalStack) -> Servers:
    """The URLs of the stack's servers, each replaced by the environment's when that names one."""
    return Servers(
        database_url=os.environ.get("DATABASE_URL") or stack.postgres.url(DATABASE, role="loa_app"),
        database_direct_url=os.environ.get("DATABASE_DIRECT_URL")
        or os.environ.get("DATABASE_URL")
        or stack.postgres.url(DATABASE, role="loa_owner"),
        redis_url=os.environ.get("REDIS_URL") or stack.redis.url,
        rpc_url=os.environ.get("RPC_URL") or stack.chain.url,
    )


def variables(servers: Servers, *, secrets: Mapping[str, str], port: int) -> dict[str, str]:
    """The environment variables of every process of the local site; what is set outside wins."""
    origin = f"http://{ports.HOST}:{port}"
    own = {
        "DJANGO_SETTINGS_MODULE": "loa_site.settings.development",
        "SECRET_KEY": secrets["secret_key"],
        "DATABASE_URL": servers.database_url,
        "DATABASE_DIRECT_URL": servers.database_direct_url,
        "REDIS_URL": servers.redis_url,
        "CELERY_BROKER_URL": servers.redis_url,
        "RPC_URL": servers.rpc_url,
        "CSP_ENFORCE": "true",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics_folder()),
        "LOA_ENVIRONMENT": "local",
        "LOA_PORT": str(port),
        "LOA_PUBLIC_ORIGIN": origin,
        "LOA_PAY_TO": wallets.pay_to().address,
        "LOA_RELAYER_PRIVATE_KEY": wallets.relayer().private_key,
        "LOA_REFUND_PRIVATE_KEY": wallets.refund_float().private_key,
        "LOA_QUOTE_KEYS": f"l1:{secrets['quote_key']}",
        "LOA_QUOTE_KEY_ACTIVE": "l1",
        "LOA_ANSWER_ENCRYPTION_KEY": secrets["answer_key"],
        "LOA_API_KEY_PEPPER": secrets["pepper"],
        "LOA_STREAM_DRAIN_SECONDS": "4",  # whoever stops a local site waits for it
        "LOA_WEBHOOK_KEY": secrets["webhook_key"],
        "LOA_NFT_COLLECTIONS": agents.collections(),
        "LOA_BETA_BYPASS_ADDRESSES": agents.listed(),
        "LOA_FACILITATOR_ANONYMOUS_PER_MINUTE": str(LOCAL_RATE_LIMIT),
        "LOA_RATE_LIMITS": "{" + ", ".join(f'"{name}": {LOCAL_RATE_LIMIT}' for name in LIMITED) + "}",
    }
    return {name: os.environ.get(name) or value for name, value in own.items()}


def metrics_folder() -> Path:
    """Where the processes of the local site keep their figures."""
    return HOME / "serve" / "metrics"


def commands(folder: Path, *, environment: Mapping[str, str], port: int) -> list[process.Command]:
    """How to start the site's processes, web first."""
    python = [sys.executable, "-m"]
    web = [
        *(*python, "granian", "--interface", "wsgi", "--host", ports.HOST, "--port", str(port), "--no-ws"),
        *("--workers", os.environ.get("WEB_WORKERS", "2"), "--blocking-threads", os.environ.get("WEB_THREADS", "352")),
        *("--backpressure", "704", "--workers-kill-timeout", "7", "--http", "1"),
        "loa_site.wsgi:application",
    ]
    worker = [*python, "celery", "-A", "loa_site.celery", "worker", "--loglevel", "info", "--without-mingle"]
    lines = {
        "web": web,
        "worker-settlement": [*worker, "-Q", "settlement", "-c", "1", "-n", "settlement@%h"],
        "worker-default": [*worker, "-Q", "default", "-c", "2", "-n", "default@%h"],
        "beat": [
            *(*python, "celery", "-A", "loa_site.celery", "beat", "--loglevel", "info"),
            *("--schedule", str(folder / "beat-schedule"), "--pidfile", ""),
        ],
    }
    return [
        process.Command(name=name, arguments=line, log=folder / f"{name}.log", environment=environment)
        for name, line in lines.items()
    ]
