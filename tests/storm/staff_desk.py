"""A process in which staff run management commands during a storm: started once, because starting costs seconds.

Each line on its input is a JSON list of a command's words; each line it answers is what the command said, as JSON.
"""

import json
import sys
from io import StringIO
from typing import Any

import django


def answer_to(words: list[str]) -> dict[str, Any]:
    """What the command says with --json, or how it ended; connections begin anew with each command."""
    from django.core.management import CommandError, call_command
    from django.db import Error, connections

    from billing.domain.errors import BillingError
    from outbound.json_rpc import RpcFailure

    out = StringIO()
    said: dict[str, Any] = {}
    try:
        connections.close_all()
        call_command(words[0], *words[1:], "--json", stdout=out, stderr=StringIO())
    except SystemExit as ended:
        said = {"exit_code": ended.code}
    except (CommandError, Error, BillingError, RpcFailure, OSError) as error:
        said = {"error": f"{type(error).__name__}: {error}"[:600]}
    lines = [line for line in out.getvalue().splitlines() if line.startswith("{")]
    return (json.loads(lines[-1]) if lines else {}) | said


def main() -> None:
    """Answer line by line until the input ends."""
    django.setup()
    for line in sys.stdin:
        print(json.dumps(answer_to(json.loads(line)), default=str), flush=True)


if __name__ == "__main__":
    main()
