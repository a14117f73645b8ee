"""The how-to page for a project of one's own, followed to the letter: an empty environment, and a paid answer."""

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from eth_account import Account

from loa_site.local import binaries, ports
from tests.faults.honest_facilitator import HonestFacilitator
from tests.packaging.pages import Block, blocks_of
from tests.x402.chain_tools import LocalChain

PAGE = binaries.ROOT / "docs" / "how-to" / "charge-for-a-view.md"
SHELL_SECONDS = 120
PRICE = 10_000

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(400)]


class Reader:
    """Somebody who follows the page: shell blocks in one shell session, files as the page names them."""

    def __init__(self, folder: Path, programs: Path, variables: dict[str, str]) -> None:
        self._folder = folder
        self._variables = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "VIRTUAL_ENV": str(programs.parent),
            **variables,
        }
        self._exports = ""
        self.outputs: list[str] = []
        self.servers: list[subprocess.Popen[bytes]] = []

    def follow(self, block: Block) -> None:
        if block.title:
            with (self._folder / block.title).open("a") as file:
                file.write("\n" + block.text)
        elif block.background:
            self._serve(block.text)
        else:
            self.outputs.append(self._shell(block.text))

    def _shell(self, text: str) -> str:
        self._exports += "".join(line + "\n" for line in text.splitlines() if line.startswith("export "))
        result = subprocess.run(
            ["sh", "-euc", self._exports + text],
            cwd=self._folder,
            env=self._variables,
            capture_output=True,
            text=True,
            timeout=SHELL_SECONDS,
            check=False,
        )
        log = self._folder / "server.log"
        served = log.read_text()[-3000:] if log.exists() else ""
        assert result.returncode == 0, f"{text}\n{result.stdout[-2000:]}\n{result.stderr[-3000:]}\n{served}"
        return result.stdout

    def _serve(self, text: str) -> None:
        with (self._folder / "server.log").open("wb") as log:
            server = subprocess.Popen(
                ["sh", "-euc", f"{self._exports}exec {text}"],
                cwd=self._folder,
                env=self._variables,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.servers.append(server)
        port = int(self._variables["PUBLIC_ORIGIN"].rpartition(":")[2])
        deadline = time.monotonic() + 60
        while not ports.is_open(port):
            is_hopeless = server.poll() is not None or time.monotonic() > deadline
            assert not is_hopeless, (self._folder / "server.log").read_text()
            time.sleep(0.1)


@contextmanager
def reading(folder: Path, programs: Path, variables: dict[str, str]) -> Iterator[Reader]:
    reader = Reader(folder, programs, variables)
    try:
        yield reader
    finally:
        for server in reader.servers:
            server.send_signal(signal.SIGTERM)
            server.wait(20)


def test_a_reader_of_the_page_is_paid_in_an_empty_environment(
    environment: Path, empty_database: dict[str, str], tmp_path: Path
) -> None:
    chain = LocalChain(settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])
    payer, pay_to = "0x" + secrets.token_hex(32), Account.from_key("0x" + secrets.token_hex(32)).address
    chain.mint(Account.from_key(payer).address, 1_000_000)
    blocks = [block for block in blocks_of(PAGE) if "pip install" not in block.text]
    install = next(block for block in blocks_of(PAGE) if "pip install" in block.text)
    start = install.text.splitlines()[1]

    with HonestFacilitator(chain) as facilitator:
        variables = empty_database | {
            "PUBLIC_ORIGIN": f"http://127.0.0.1:{ports.free_port()}",
            "PAY_TO": pay_to,
            "RPC_URL": chain.url,
            "FACILITATOR_URL": facilitator.url,
            "X402_PRIVATE_KEY": payer,
        }
        with reading(tmp_path, environment, variables) as reader:
            reader.follow(Block("sh", start, title="", background=False))
            for block in blocks:
                reader.follow(block)

        assert len(facilitator.asked) == 1
    [paid] = [output for output in reader.outputs if '"paid": true' in output]
    terms, answer = paid.rpartition("\n{")[0], json.loads(paid.splitlines()[-1])
    assert "$0.01 by exact on eip155:84532" in terms
    assert answer["body"] == {"tomorrow": "sunny", "paid_by": Account.from_key(payer).address.lower()}
    assert (answer["status"], answer["paid"]) == (200, True)
    assert chain.balance_of(pay_to) == PRICE
    assert "Chain and books agree" in reader.outputs[-1]


def test_the_readers_own_lines_are_ten_at_most() -> None:
    own = [block.text for block in blocks_of(PAGE) if block.title]
    lines = [line for text in own for line in text.splitlines() if line.strip()]
    imports = [line for line in lines if line.startswith(("import ", "from "))]

    assert len(lines) - len(imports) <= 10
