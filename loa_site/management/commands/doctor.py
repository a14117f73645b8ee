"""`manage.py doctor`: whether this deployment is ready for money. Exit code 1 when something must be fixed first."""

import sys
from dataclasses import asdict
from typing import Any

from billing.management.output import OperatorCommand
from loa_site.doctor import FAILURE, examine


class Command(OperatorCommand):
    """Look at keys, gas, pay-to addresses, limits, second factors and backups."""

    help = "Say whether keys, gas, pay-to, limits, two-factor and backups are as they must be. Changes nothing."
    requires_system_checks: list[str] = []

    def run(self, options: dict[str, Any]) -> None:
        """Print every finding; leave with 1 when one is a failure."""
        findings = examine()
        is_well = all(finding.status != FAILURE for finding in findings)
        lines = [f"[{finding.status}] {finding.name}: {finding.detail}" for finding in findings]
        facts = {"is_well": is_well, "findings": [asdict(finding) for finding in findings]}
        self.answer(facts, lines=lines, as_json=options["as_json"])
        if not is_well:
            sys.exit(1)
