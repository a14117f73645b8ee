"""The official server settles through our facilitator, and our server through the official one.

Both official programs run in an environment of their own, as their documentation wires them (`tests/bench/peers`).
"""

import base64
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eth_account import Account

from loa_site.local import binaries, ports
from tests.interop import environments
from tests.interop.environments import Client
from tests.interop.observing import TRANSFER, pay, payment_row, request, rpc
from tests.interop.running_site import running_site

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

PEERS = binaries.ROOT / "tests" / "bench" / "peers"
START_SECONDS = 60
PYTHON_CLIENT = "x402 (PyPI)"


@pytest.fixture(scope="module")
def official_python() -> Path:
    """An interpreter that has the official SDK, FastAPI and a server."""
    return environments.prepared_python(binaries.ROOT / ".loa" / "bench" / "x402", lock=PEERS / "x402.lock")


@contextmanager
def official(python: Path, script: str, **variables: str) -> Iterator[str]:
    """One of the official programs, answering; yields its URL."""
    port = ports.free_port()
    folder = environments.HOME / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{script}.log").open("w") as output:
        child = subprocess.Popen(
            [str(python), "-P", str(PEERS / script), str(port)],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "NETWORK": "eip155:84532", **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://{ports.HOST}:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            assert child.poll() is None, (folder / f"{script}.log").read_text()[-800:]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield url
    finally:
        child.terminate()
        child.wait(20)


def _answers(url: str) -> bool:
    try:
        request(url, "GET", "/", None, {})
    except OSError:
        return False
    return True


def transfers(run: dict[str, Any], transaction: str) -> list[tuple[str, int]]:
    """(recipient, amount) of each Transfer in this transaction."""
    receipt = rpc(run, "eth_getTransactionReceipt", transaction)
    assert receipt["status"] == "0x1"
    return [
        ("0x" + log["topics"][2][-40:], int(log["data"], 16)) for log in receipt["logs"] if log["topics"][0] == TRANSFER
    ]


@pytest.mark.parametrize("name", [PYTHON_CLIENT, "@x402/fetch"])
def test_the_official_server_settles_through_our_facilitator(
    name: str,
    run: dict[str, Any],
    installed: dict[str, Client],
    official_python: Path,
    prompt: str,
    record: Callable[[str, Any], None],
) -> None:
    seller = Account.from_key("0x" + secrets.token_hex(32)).address
    with official(
        official_python, "official_server.py", FACILITATOR_URL=f"{run['base_url']}/facilitator", PAY_TO=seller
    ) as server:
        report = pay(installed[name], run | {"base_url": server}, wallet=6, prompt=prompt)

    assert report["status"] == 200, report
    assert report["body"]["answer"] == f"You wrote: {prompt}"
    settled = report["payment_response"]
    assert settled["success"] is True
    assert transfers(run, settled["transaction"]) == [(seller.lower(), 1_000)]
    with psycopg.connect(run["database_url"]) as connection:
        [row] = connection.execute(
            "SELECT state, transaction_hash FROM x402_facilitatedpayment WHERE pay_to = %s", [seller.lower()]
        ).fetchall()
    assert row == ("settled", settled["transaction"])
    record(f"the official server with {name} settled through our facilitator", settled["transaction"])


@pytest.fixture
def _without_the_tests_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own settings put their keys into the environment; a site started from here must not see them."""
    for name in [*os.environ]:
        if name.startswith("LOA_") or name in ("SECRET_KEY", "DATABASE_POOL_SIZE"):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("_without_the_tests_settings")
def test_our_server_settles_through_the_official_facilitator(
    installed: dict[str, Client], official_python: Path, record: Callable[[str, Any], None], prompt: str
) -> None:
    key = "0x" + secrets.token_hex(32)
    address = Account.from_key(key).address
    port = ports.free_port()
    variables = {
        "LOA_FACILITATORS": "x402.facilitators.remote.RemoteFacilitator,x402.facilitators.direct.DirectFacilitator",
        "LOA_FACILITATOR_URL": f"http://{ports.HOST}:{port}",
    }
    with running_site(environments.HOME / "remote-site", variables=variables, fresh=True) as site:
        rpc(site, "anvil_setBalance", address, hex(10**18))
        environment = {"RELAYER_PRIVATE_KEY": key, "RPC_URL": site["rpc_url"], "NETWORK": "eip155:84532"}
        child = subprocess.Popen(
            [str(official_python), "-P", str(PEERS / "official_facilitator.py"), str(port)],
            cwd=environments.HOME,
            env={"PATH": "/usr/bin:/bin", **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(variables["LOA_FACILITATOR_URL"]):
                assert child.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            report = pay(installed[PYTHON_CLIENT], site, wallet=0, prompt=prompt)
        finally:
            child.terminate()
            child.wait(20)
        after = pay(installed[PYTHON_CLIENT], site, wallet=1, prompt=f"{prompt} again")
        nonces = [
            json.loads(base64.b64decode(one["payment"]["value"]))["payload"]["authorization"]["nonce"]
            for one in (report, after)
        ]
        payments = [payment_row(site, nonce) for nonce in nonces]
        carriers = [rpc(site, "eth_getTransactionByHash", one["transaction"])["from"] for one in payments]

    assert (report["status"], after["status"]) == (200, 200)
    assert [one["state"] for one in payments] == ["served", "served"]
    assert carriers[0].lower() == address.lower()
    assert carriers[1].lower() != address.lower()  # it was down then, and our relayer settled
    record("our server settled through the official facilitator", payments[0]["transaction"])
