"""`python -m tests.interop`, which `make interop` runs: install the foreign clients, start the site, let them pay.

Prints a table and writes `.loa/reports/interop.json`. `--run FILE` judges a site that runs already, by its run.json;
then how often the paid work ran cannot be counted and those tests fail honestly.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

from defusedxml import ElementTree

from loa_site.local import binaries
from tests.interop import environments
from tests.interop.running_site import SiteDidNotStart, running_site

REPORT = binaries.ROOT / ".loa" / "reports" / "interop.json"
UPSTREAM = {"demo": {"class": "tests.interop.counting_upstream.CountingUpstream"}}


def main(arguments: list[str]) -> int:
    """Run the suite; the exit code is 0 only when every client and every test held."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__)
    parser.add_argument("--run", type=Path, help="the run.json of a site that runs already")
    options, rest = parser.parse_known_args(arguments)
    try:
        environments.clients()
    except environments.NotInstalled as error:
        print(f"not run: the clients could not be installed: {error}")
        return write_report({"passed": 0, "failed": 1, "figures": {"not_run": str(error)}})
    home = environments.HOME / "site"
    runs = environments.HOME / "runs.txt"
    runs.write_text("")
    variables = {"LOA_UPSTREAMS": json.dumps(UPSTREAM), "INTEROP_RUNS_FILE": str(runs)}
    try:
        with nullcontext() if options.run else running_site(home, variables=variables, fresh=True):
            return judge(options.run or home / "run.json", runs=runs, rest=rest)
    except SiteDidNotStart as error:
        print(f"not run: the site did not start:\n{error}")
        return write_report({"passed": 0, "failed": 1, "figures": {"not_run": str(error)[-500:]}})


def judge(run_file: Path, *, runs: Path, rest: list[str]) -> int:
    """Run pytest against the site and report."""
    figures_file, results = environments.HOME / "figures.json", environments.HOME / "results.xml"
    figures_file.write_text("{}")
    run = json.loads(run_file.read_text())
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "loa_site.settings.test",
        "DATABASE_URL": run["database_url"],
        "INTEROP_SITE": str(run_file),
        "INTEROP_FIGURES": str(figures_file),
        "INTEROP_RUNS_FILE": str(runs),
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/interop",
        "-q",
        "-p",
        "no:randomly",
        f"--junitxml={results}",
        *rest,
    ]
    code = subprocess.run(command, cwd=binaries.ROOT, env=environment, check=False).returncode
    cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    for case in cases:
        print(f"{'FAIL' if case in failed else 'ok':5} {float(case.get('time', 0)):6.1f} s  {case.get('name')}")
    figures = json.loads(figures_file.read_text())
    for name, value in figures.items():
        print(f"      {name}: {value}")
    write_report({"passed": len(cases) - len(failed), "failed": len(failed), "figures": figures})
    return code


def write_report(report: dict[str, object]) -> int:
    """Write the report; returns 1, the exit code of a suite that did not run."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps({"suite": "interop"} | report, indent=2) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
