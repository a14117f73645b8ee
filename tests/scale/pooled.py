"""Parts of the test suite through PgBouncer: `python -m tests.scale.pooled tests/billing tests/x402 tests/api`.

The application's connections go through a pooler in transaction mode, with few server connections, so that one is
hardly ever met twice: whatever leans on a session would break. The owner's URL stays direct, as in a deployment.
Writes `.loa/reports/pooler.json`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from loa_site.local import binaries
from loa_site.local.test_servers import environment
from tests.scale.pooler import HOW_TO_GET_IT, pooler, program

REPORT = binaries.ROOT / ".loa" / "reports" / "pooler.json"
PARTS = ("tests/billing", "tests/x402", "tests/api")


def main(arguments: list[str]) -> int:
    """Run the parts; pytest's exit code, or 0 with the reason where there is no pooler."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale.pooled", description=__doc__)
    parser.add_argument("--reuse", action="store_true", help="use the database server of `services --keep`")
    options, rest = parser.parse_known_args(arguments)
    if program() is None:
        print(f"not run: no pgbouncer on this machine ({HOW_TO_GET_IT})")
        write({"suite": "pooler", "passed": 0, "failed": 0, "figures": {"not_run": HOW_TO_GET_IT}})
        return 0
    began = time.monotonic()
    with environment(reuse=options.reuse) as variables, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        direct = urlsplit(variables["DATABASE_URL"])
        with pooler(folder / "pooler", server_port=direct.port or 5432) as running:
            url = running.url(direct.path.strip("/"), role=direct.username or "")
            pooled = variables | {"DATABASE_URL": url, "DATABASE_THROUGH_POOLER": "true"}
            results = folder / "results.xml"
            code = subprocess.run(
                [sys.executable, "-m", "pytest", *(rest or PARTS), f"--junit-xml={results}"],
                cwd=binaries.ROOT,
                env=os.environ | pooled,
                check=False,
            ).returncode
            counters = running.counters()
        text = results.read_text() if results.exists() else ""
    tests, failed, skipped = (
        counted(text, "tests"),
        counted(text, "failures") + counted(text, "errors"),
        counted(text, "skipped"),
    )
    figures = {
        "parts": [part for part in rest if part.startswith("tests/")] or list(PARTS),
        "transactions": counters["transactions"],
        "skipped": skipped,
        "seconds": round(time.monotonic() - began, 1),
    }
    write({"suite": "pooler", "passed": tests - failed - skipped, "failed": failed, "figures": figures})
    return code


def counted(results: str, what: str) -> int:
    """A figure of the suite in pytest's own report.

    >>> counted('<testsuite name="pytest" errors="0" failures="2" skipped="1" tests="30">', "failures")
    2
    """
    found = re.search(rf'<testsuite [^>]*\b{what}="(\d+)"', results)
    return int(found.group(1)) if found else 0


def write(report: dict[str, object]) -> None:
    """Print the report and keep it."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
