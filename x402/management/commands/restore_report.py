"""`manage.py restore_report`: what the chain knows and this ledger does not, after a restore or a promotion (R10)."""

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from billing.management.output import OperatorCommand
from billing.services import recovery
from billing.services.recovery_report import Part, report
from outbound.json_rpc import RpcFailure

CHAIN = "chain"  # the name under which the payment side reports
END = "manage.py recovery_end --by NAME --reason TEXT"


class Command(OperatorCommand):
    help = "Compare the restored ledger with the chain and write nothing; exit 1 while it has forgotten something."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whether a recovery is expected to be under way."""
        super().add_arguments(parser)
        parser.add_argument(
            "--require-recovery", action="store_true", help="fail when the restored database was not noticed"
        )

    def run(self, options: dict[str, Any]) -> None:
        """Report; exit 0 when ledger and chain agree, 1 when something is missing or cannot be explained."""
        under_way = recovery.open_recovery()
        if options["require_recovery"] and under_way is None:
            raise CommandError("No recovery is under way: the service takes money on a database that was put back.")
        try:
            parts = report()
        except RpcFailure as failure:
            raise CommandError(f"The chain cannot be read: {failure}") from failure
        networks = {name: facts for name, facts in parts[CHAIN].facts.items() if ":" in name}
        forgotten = [one for name, facts in networks.items() for one in _forgotten(name, facts)]
        unexplained = [one for facts in networks.values() for one in facts["balances"] if _is_unexplained(one)]
        facts = {
            "agrees": not forgotten and not unexplained and not parts["ledger"].facts["missing_heads"],
            "recovery": None if under_way is None else dict(under_way),
            "ledger": dict(parts["ledger"].facts),
            "forgotten": forgotten,
            "forgotten_inflow_micro_usdc": str(_sum(forgotten, direction="in")),
            "forgotten_outflow_micro_usdc": str(_sum(forgotten, direction="out")),
            "unexplained": unexplained,
            "networks": {name: _place(network) for name, network in networks.items()},
        }
        self.answer(facts, lines=_lines(parts, facts), as_json=options["as_json"])
        if not facts["agrees"]:
            sys.exit(1)


def _forgotten(network: str, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each transfer of one network that no row explains, the newest last."""
    found = [{"network": network, "direction": "in"} | one for one in facts["missing_inflows"]]
    found += [{"network": network, "direction": "out"} | one for one in facts["missing_outflows"]]
    return sorted(found, key=lambda one: (one["block_number"], one["log_index"]))


def _is_unexplained(balance: Mapping[str, str]) -> bool:
    return balance["unexplained_micro_usdc"] != "0"


def _sum(forgotten: list[dict[str, Any]], *, direction: str) -> int:
    return sum(int(one["amount"]) for one in forgotten if one["direction"] == direction)


def _place(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Which blocks were compared, how far the relayer is, and the treasury's balances."""
    lost = max(0, facts["relayer_nonce_mined"] - facts["relayer_nonce_of_rows"])
    kept = ("from_block", "to_block", "balances", "relayer_nonce_mined", "relayer_nonce_of_rows")
    return {name: facts[name] for name in kept} | {"relayer_transactions_without_row": lost}


def _lines(parts: Mapping[str, Part], facts: Mapping[str, Any]) -> list[str]:
    under_way = facts["recovery"]
    lines = [
        f"Recovery {under_way['id']} is under way ({', '.join(under_way['reasons'])})."
        if under_way
        else "No recovery is under way."
    ]
    lines += parts["ledger"].lines + parts[CHAIN].lines
    for name, network in facts["networks"].items():
        lines += [
            f"{name}, {one['pay_to']}: chain {one['chain_micro_usdc']}, ledger {one['ledger_micro_usdc']},"
            f" unbooked {one['unbooked_micro_usdc']}, unexplained {one['unexplained_micro_usdc']} MicroUSDC."
            for one in network["balances"]
        ]
    if facts["agrees"]:
        lines.append("Ledger and chain agree.")
    else:
        lines.append(f"{len(facts['forgotten'])} transfers are in no row; `{END}` books what evidence allows.")
    return lines
