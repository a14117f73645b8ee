"""`manage.py gate_check N`: the criteria of a gate, asked on this machine. Exit code 0 when all hold, 1 when not."""

import sys
from argparse import ArgumentParser
from typing import Any

from billing.management.output import OperatorCommand
from loa_site.gates.criteria import GATE_NAMES, evaluate
from loa_site.gates.outcome import PASS


class Command(OperatorCommand):
    """Ask a gate's criteria and those of the gates below it."""

    help = "Ask whether a gate holds: " + ", ".join(f"{number} {name}" for number, name in GATE_NAMES.items())

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The gate's number."""
        super().add_arguments(parser)
        parser.add_argument("gate", type=int, choices=sorted(GATE_NAMES))

    def run(self, options: dict[str, Any]) -> None:
        """Print every criterion with PASS or FAIL; leave with 1 when one failed."""
        report = evaluate(options["gate"])
        lines = [f"Gate {report.gate} ({report.gate_name}): {report.overall}"]
        for check in report.checks:
            lines.append(f"  [{check.status}] {check.name}" + (f": {check.detail}" if check.detail else ""))
        self.answer(report.shown(), lines=lines, as_json=options["as_json"])
        if report.overall != PASS:
            sys.exit(1)
