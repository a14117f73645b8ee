"""`manage.py reconcile`: compare the treasury on the chain with settlements, journals and balances."""

import sys
from typing import Any

from django.core.management.base import CommandError

from billing.management.output import ChangingCommand
from outbound.json_rpc import RpcFailure
from x402.services.reconciliation import Report, reconcile


class Command(ChangingCommand):
    help = "Resolve unknown settlements, book what the chain shows and the books lack; exit 1 names each difference."

    def run(self, options: dict[str, Any]) -> None:
        """Compare, report, and end with 1 when anything does not agree."""
        try:
            report = reconcile(applies=not options["is_dry_run"])
        except RpcFailure as failure:
            raise CommandError(f"The chain cannot be read: {failure}") from failure
        facts = {
            "ok": report.is_clean,
            "applied": report.applied,
            "resolved": report.resolved,
            "networks": {network: figures.to_json() for network, figures in report.figures.items()},
            "differences": report.differences,
            "seconds": report.seconds,
        }
        self.answer(facts, lines=_lines(report), as_json=options["as_json"])
        if not report.is_clean:
            sys.exit(1)


def _lines(report: Report) -> list[str]:
    lines = []
    for network, figures in report.figures.items():
        lines.append(
            f"{network}, blocks {figures.from_block} to {figures.to_block}: {figures.inflow_count} inflows"
            f" ({figures.matched_count} known), {figures.outflow_count} outflows;"
            f" chain {figures.chain_micro_usdc}, ledger {figures.ledger_micro_usdc},"
            f" on its way {figures.pending_micro_usdc} MicroUSDC."
        )
        lines += [f"{network}: {outcome}: {count}" for outcome, count in sorted(figures.booked.items())]
    lines += [", ".join(f"{name} {value}" for name, value in one.items()) for one in report.differences]
    verdict = "Chain and books agree" if report.is_clean else f"{len(report.differences)} differences"
    lines.append(f"{verdict}; {report.resolved} unknown settlements resolved, {report.seconds} s.")
    return lines
