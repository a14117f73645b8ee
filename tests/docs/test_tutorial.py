"""The tutorial, followed to the letter: a copy of the checkout, the files it names, and two paid answers."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loa_site.local import ports
from tests.architecture.tracked import ROOT
from tests.packaging.pages import Block, blocks_of

PAGE = ROOT / "docs" / "tutorial" / "charge-for-a-view.md"
PORT_OF_THE_PAGE = "8402"
SHELL_SECONDS, START_SECONDS = 240, 240
READY = "Serving until Ctrl-C"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Reader:
    """Somebody with the page, two terminals and a copy of the checkout."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._port = str(ports.free_port())
        # What is installed already is used as it is, and the servers of the test run are not those of the tutorial.
        ours = ("LOA_", "DATABASE_", "REDIS_", "CELERY_", "RPC_", "DJANGO_", "TEST_", "PYTEST_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self._variables = inherited | {"BOOTSTRAP": ":", "LOA_PORT": self._port}
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
        exports = self._checkout / "exports"
        ran = subprocess.run(
            ["sh", "-euc", f"{text}\nenv -0 > {exports}"],
            cwd=self._checkout,
            env=self._variables,
            capture_output=True,
            text=True,
            timeout=SHELL_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, f"{text}\n{ran.stdout[-2000:]}\n{ran.stderr[-3000:]}\n{self._log()[-3000:]}"
        self._variables = dict(line.split("=", 1) for line in exports.read_text().split("\0") if line)
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
        while READY not in self._log():
            assert self._stack.poll() is None, self._log()[-3000:]
            assert time.monotonic() < deadline, self._log()[-3000:]
            time.sleep(0.2)

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
def checkout() -> Iterator[Path]:
    """A copy of the checkout where the database's own account may go as well, which pytest's folders forbid."""
    with tempfile.TemporaryDirectory(prefix="loa-tutorial-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "loa"


@pytest.fixture
def reader(checkout: Path) -> Iterator[Reader]:
    """A reader, whose stack is ended afterwards."""
    for name in _files():
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    for installed in (".venv", "node_modules"):
        (checkout / installed).symlink_to(ROOT / installed)
    reader = Reader(checkout)
    yield reader
    reader.follow(Block("sh", "make stop", "", background=False))
    reader.wait_for_end()


def _files() -> list[str]:
    """What is in the checkout: also what nobody has added yet, because tracked files may need it already."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def test_every_block_of_the_tutorial_does_what_the_page_says(reader: Reader) -> None:
    outputs = [output for block in blocks_of(PAGE) if (output := reader.follow(block))]

    unpaid, paid, metered = outputs
    assert unpaid.startswith("HTTP/1.1 402")
    assert "payment-required:" in unpaid.lower()
    assert paid.startswith("http://127.0.0.1:")
    assert '"tomorrow": "sunny"' in paid
    assert '"words": 5' in metered
    assert "\nPaid: pay_" in metered
