"""The image, built and run by a real container engine: nobody, on a read-only root, paid, and ended in order.

Where no registry is reached the base is made of Debian's packages (`tests.infra.container_engine`). `make image`.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from eth_account import Account

from loa_site.local import binaries, ports
from telemetry.identifiers import new_id
from tests.factories.own_database import own_database_of_a_test
from tests.infra import container_engine
from tests.infra.container_engine import IMAGE, Engine, EngineFailed
from tests.infra.programs import MUST_RUN, not_run, program
from tests.journeys.live_site import LiveSite
from tests.journeys.paying import INVOKE, funded, header_for
from tests.x402.chain_tools import LocalChain

pytestmark = [pytest.mark.slow, pytest.mark.image, pytest.mark.timeout(1500)]

QUESTION = {"model": "loa-demo", "prompt": "Who are you?", "max_tokens": 8}
WEB, WORKER, ENDING = "loa-test-web", "loa-test-worker", "loa-test-ending"
COMPOSE_EXAMPLE = binaries.ROOT / "infra" / "compose.env.example"


def wait_for(is_there: Callable[[], bool], *, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not is_there():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.3)


def has_ended(engine: Engine, name: str) -> bool:
    return engine.described("container", name)["State"]["Status"] == "exited"


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if not MUST_RUN and request.config.getoption("markexpr") != "image":
        not_run("building an image takes minutes", how="`make image`, or CI=true as root")
    if os.geteuid() != 0:
        not_run("a container engine of our own needs root", how="run the tests as root")
    if "overlay" not in Path("/proc/filesystems").read_text():
        not_run("this kernel has no overlayfs", how="take one that has")
    program("dockerd")
    program("debootstrap")
    with container_engine.engine() as running:
        container_engine.build(running, base=container_engine.make_base(running))
        yield running


@pytest.fixture(scope="module")
def variables(django_db_setup: None) -> Iterator[dict[str, str]]:
    """What a deployment on one machine gives: the example of Compose, with this run's services."""
    relayer, rpc_url = Account.create(), settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0]
    LocalChain(rpc_url).call("anvil_setBalance", relayer.address, hex(10**20))
    lines = [line for line in COMPOSE_EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    with own_database_of_a_test() as urls:
        yield (
            dict(line.split("=", 1) for line in lines)
            | urls
            | {
                "LOA_OWNER_ROLE": "",
                "REDIS_URL": settings.REDIS_URL,
                "CELERY_BROKER_URL": settings.REDIS_URL.rpartition("/")[0] + "/9",
                "RPC_URL": rpc_url,
                "LOA_REDIS_KEY_PREFIX": f"{new_id('run')}:",
                "LOA_RELAYER_PRIVATE_KEY": "0x" + bytes(relayer.key).hex(),
                "WEB_WORKERS": "1",
                "WEB_THREADS": "32",
                "DATABASE_POOL_SIZE": "4",
            }
        )


def serve(engine: Engine, name: str, variables: dict[str, str]) -> LiveSite:
    """Start the web server in a container of that name; what can be asked, once it answers."""
    site = LiveSite(port=ports.free_port())
    container_engine.run(engine, name, ["web"], variables | {"LOA_PORT": str(site.port)})

    def answers() -> bool:
        assert not has_ended(engine, name), engine.logs(name)
        try:
            return site.ask("GET", "/livez", timeout_seconds=5).status == 200
        except OSError:
            return False

    wait_for(answers)
    return site


@pytest.fixture(scope="module")
def web(engine: Engine, variables: dict[str, str]) -> LiveSite:
    return serve(engine, WEB, variables)


def test_the_image_is_nobodys_and_holds_no_tools_of_development(engine: Engine) -> None:
    described = engine.described("image", IMAGE)
    installed = engine.docker("run", "--rm", "--network", "none", IMAGE, "pip", "list", "--format", "json")
    names = {package["name"].lower() for package in json.loads(installed.splitlines()[-1])}

    assert described["Config"]["User"] == "10001:10001"
    assert described["Config"]["Healthcheck"]["Test"][0] == "CMD"
    assert names & {"pytest", "ruff", "mypy", "moto", "playwright", "awscli"} == set()
    assert {"django", "celery", "granian", "psycopg"} <= names
    assert described["Size"] < 1_000_000_000


def test_no_key_of_the_build_stands_in_a_layer_that_runs(engine: Engine) -> None:
    described = engine.described("image", IMAGE)
    given = {line.split("=", 1)[0] for line in described["Config"]["Env"]}

    assert {name for name in given if re.search("KEY|PASSWORD|TOKEN|DATABASE", name)} == set()


def test_the_container_runs_as_nobody_without_rights_on_a_root_it_cannot_write(engine: Engine, web: LiveSite) -> None:
    assert engine.docker("exec", WEB, "id", "-u") == "10001"
    status = engine.docker("exec", WEB, "cat", "/proc/1/status")
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    for path in ("/srv/loa/x", "/opt/loa/x", "/x", "/etc/x"):
        with pytest.raises(EngineFailed, match="Read-only file system"):
            engine.docker("exec", WEB, "sh", "-c", f"echo > {path}")
    engine.docker("exec", WEB, "sh", "-c", "echo > /tmp/x && echo > /run/loa/x")


def test_the_service_in_the_container_is_ready_paid_and_shows_its_pages(web: LiveSite) -> None:
    assert web.ask("GET", "/readyz").status == 200
    answer = web.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header_for(web, funded(), QUESTION)})
    assert answer.status == 200, answer.body
    for page in ("/", "/docs/guide/", "/admin/login/"):
        assert web.ask("GET", page).status == 200, page
    assert b"x402_quotes_total" in web.ask("GET", "/metrics").body


def test_the_health_check_of_the_image_says_that_it_is_well(engine: Engine, web: LiveSite) -> None:
    engine.docker("exec", WEB, "python", "-m", "loa_site.health.probe")
    wait_for(lambda: engine.described("container", WEB)["State"]["Health"]["Status"] == "healthy")


def test_migrations_and_workers_run_from_the_same_image(engine: Engine, variables: dict[str, str]) -> None:
    container_engine.run(engine, "loa-test-migrate", ["migrate"], variables)
    wait_for(lambda: has_ended(engine, "loa-test-migrate"))
    assert engine.described("container", "loa-test-migrate")["State"]["ExitCode"] == 0
    assert "No migrations to apply." in engine.logs("loa-test-migrate")

    container_engine.run(engine, WORKER, ["worker"], variables)
    wait_for(lambda: "default@" in engine.logs(WORKER) and "ready" in engine.logs(WORKER))
    assert engine.described("container", WORKER)["State"]["Status"] == "running"


def test_a_container_that_is_asked_to_stop_ends_in_order(engine: Engine, variables: dict[str, str]) -> None:
    serve(engine, ENDING, variables)
    began = time.monotonic()
    engine.docker("stop", "--time", "60", ENDING, seconds=90)

    assert time.monotonic() - began < 45
    assert engine.described("container", ENDING)["State"]["ExitCode"] == 0
