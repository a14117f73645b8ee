"""`manage.py ledger_verify`: prove the ledger from its rows; exit 1 names the first bad row."""

import sys
from typing import Any

from billing.management.output import OperatorCommand
from billing.services.verification import verify_ledger


class Command(OperatorCommand):
    help = "Recompute balances, versions, sums, hashes and anchors; exit 1 names the first bad row of each check."

    def show_done(self, check: str) -> None:
        """What has been proved so far, for whoever waits at a terminal; a long stream is named once per segment."""
        self.stderr.write(f"proved: {check}", style_func=str)

    def run(self, options: dict[str, Any]) -> None:
        """Verify, report, and end with 1 when anything is wrong."""
        verification = verify_ledger(progress=self.show_done if sys.stderr.isatty() else None)
        per_second = int(verification.posting_count / max(verification.seconds, 0.001))
        findings = [
            {"check": finding.check, "where": finding.where, "detail": finding.detail}
            for finding in verification.findings
        ]
        lines = [f"{finding['check']}: {finding['where']}: {finding['detail']}" for finding in findings]
        verdict = "The ledger is whole" if verification.is_clean else "The ledger is NOT whole"
        lines.append(
            f"{verdict}: {verification.posting_count} postings in {verification.seconds:.2f} s ({per_second} a second)."
        )
        facts = {
            "ok": verification.is_clean,
            "findings": findings,
            "checks": [result.check for result in verification.results],
            "postings": verification.posting_count,
            "seconds": round(verification.seconds, 3),
            "postings_per_second": per_second,
        }
        self.answer(facts, lines=lines, as_json=options["as_json"])
        if not verification.is_clean:
            sys.exit(1)
