"""The tutorial, followed to the letter: a copy of the checkout, the files it names, and two paid answers."""

import http.client
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loa_site.local import ports
from tests.architecture.tracked import ROOT, tracked_files
from tests.packaging.pages import Block, blocks_of

PAGE = ROOT / "docs" / "tutorial" / "charge-for-a-view.md"
PORT_OF_THE_PAGE = "8402"
SHELL_SECONDS, START_SECONDS = 120, 120

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


class Reader:
    """Somebody with the page, two terminals and a copy of the checkout."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._port = str(ports.free_port())
        # What is installed already is used as it is, and the servers of the test run are not those of the tutorial.
        ours = ("LOA_", "DATABASE_", "REDIS_", "CELERY_", "RPC_", "DJANGO_", "TEST_", "PYTEST_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self._variables = inherited | {"BOOTSTRAP": ":", "LOA_PORT": self._port}
        self._exports = ""
        self._stack: subprocess.Popen[bytes] | None = None

    def follow(self, block: Block) -> str:
        """Do what the block says; what a command wrote."""
        text = block.text.replace(PORT_OF_THE_PAGE, self._port)
        if block.title:
            with (self._checkout / block.title).open("a") as file:
                file.write("\n\n" + text)
            return ""
        if block.background:
            self._start(text)
            return ""
        self._exports += "".join(line + "\n" for line in text.splitlines() if line.startswith("export "))
        ran = subprocess.run(
            ["sh", "-euc", self._exports + text],
            cwd=self._checkout,
            env=self._variables,
            capture_output=True,
            text=True,
            timeout=SHELL_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, f"{text}\n{ran.stdout[-2000:]}\n{ran.stderr[-3000:]}\n{self._log()[-3000:]}"
        return ran.stdout

    def _start(self, text: str) -> None:
        self.wait_for_end()
        with (self._checkout / "stack.log").open("wb") as log:
            self._stack = subprocess.Popen(
                ["sh", "-euc", f"exec {text}"],
                cwd=self._checkout,
                env=self._variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_alive():
            assert self._stack.poll() is None, self._log()[-3000:]
            assert time.monotonic() < deadline, self._log()[-3000:]
            time.sleep(0.2)

    def _is_alive(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", int(self._port), timeout=5)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _log(self) -> str:
        log = self._checkout / "stack.log"
        return log.read_text() if log.exists() else ""

    def wait_for_end(self) -> None:
        """The stack that was started has ended, or is ended now."""
        if self._stack is None:
            return
        try:
            self._stack.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(self._stack.pid, signal.SIGTERM)
            self._stack.wait(timeout=60)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader, whose stack is ended afterwards."""
    checkout = tmp_path / "loa"
    for path in tracked_files():
        target = checkout / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for installed in (".venv", "node_modules"):
        (checkout / installed).symlink_to(ROOT / installed)
    reader = Reader(checkout)
    yield reader
    reader.follow(Block("sh", "make stop", "", background=False))
    reader.wait_for_end()


def test_every_block_of_the_tutorial_does_what_the_page_says(reader: Reader) -> None:
    outputs = [output for block in blocks_of(PAGE) if (output := reader.follow(block))]

    unpaid, paid, _, metered = outputs
    assert unpaid.startswith("HTTP/1.1 402")
    assert "payment-required:" in unpaid.lower()
    assert paid.startswith("http://127.0.0.1:")
    assert '"tomorrow": "sunny"' in paid
    assert '"words": 5' in metered
    assert "\nPaid: pay_" in metered
