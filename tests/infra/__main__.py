"""`python -m tests.infra`, which `make terraform` runs: everything about infra/terraform that can be proved here.

What cannot run is said to be not run, with the reason; it is never counted as passed. Exit code 1 when a step failed.
"""

import sys
from collections.abc import Callable

from tests.infra import terraform
from tests.interop.environments import NotInstalled


def main() -> int:
    """Run every step and say what became of it."""
    if not terraform.program():
        print(terraform.NOT_RUN)
        return finish([step("scan", terraform.check_scan), step("planted mistakes", terraform.check_planted)])
    with terraform.workspace() as work:
        return finish(
            [
                step("format", lambda: terraform.check_format(work)),
                step("modules", lambda: terraform.check_modules(work)),
                step("site", lambda: terraform.check_site(work)),
                step("scan", terraform.check_scan),
                step("planted mistakes", terraform.check_planted),
            ]
        )


def step(name: str, check: Callable[[], str]) -> str:
    """Run one step; `passed`, `failed` or `not run`."""
    try:
        print(f"terraform {name}: {check()}", flush=True)
    except NotInstalled as error:
        print(f"terraform {name}: not run: {error}", flush=True)
        return "not run"
    except terraform.StepFailed as failure:
        print(f"terraform {name}: FAILED\n{failure}", flush=True)
        return "failed"
    return "passed"


def finish(outcomes: list[str]) -> int:
    """The exit code, and one line for people."""
    print(", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("passed", "failed", "not run")))
    return 1 if "failed" in outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
