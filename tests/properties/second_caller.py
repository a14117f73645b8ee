"""A second process that calls the ledger on a stream of its own: `python -m tests.properties.second_caller`.

It reads two lines for each call, how long change lives and the operation, and writes one line, the answer.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.properties import ledger_operations


class SecondCaller:
    """The child process and the conversation with it."""

    def __init__(self, environment: dict[str, str], *, log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.properties.second_caller"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )

    def ask(self, change_seconds: int, operation: ledger_operations.Operation) -> Any:
        """Send one call and wait for what the ledger answered."""
        self._process.stdin.write(f"{change_seconds}\n{ledger_operations.as_json(operation)}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise AssertionError(self._log.read_text()[-3000:])
        heard = json.loads(answer)
        return tuple(heard) if isinstance(heard, list) else heard

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)


def main() -> None:
    """Answer calls until the input ends."""
    import django

    django.setup()
    from billing.locks.process_writer import process_writer
    from tests.properties import ledger_calls

    for change_seconds in sys.stdin:
        ledger_calls.change_lives(int(change_seconds))
        answer = ledger_calls.answer_to(ledger_operations.from_json(sys.stdin.readline()))
        print(json.dumps(answer), flush=True)
    process_writer().release()


if __name__ == "__main__":
    main()
