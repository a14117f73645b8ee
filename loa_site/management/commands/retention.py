"""`manage.py retention`: what is kept for how long and how large it is; `--apply` forgets what is past its time now."""

from argparse import ArgumentParser
from typing import Any

from billing.management.output import OperatorCommand
from loa_site.retention import KEPT, forget_everything_due, sizes

MEBIBYTE = 2**20


class Command(OperatorCommand):
    help = "Tables, their size and how long their rows are kept; with --apply every sweep runs until nothing is due."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whether to forget."""
        super().add_arguments(parser)
        parser.add_argument("--apply", action="store_true", dest="applies", help="forget what is past its time")

    def run(self, options: dict[str, Any]) -> None:
        """Forget if asked, then tell."""
        forgotten = forget_everything_due() if options["applies"] else {}
        measured = sizes()
        facts = [
            {
                "table": kept.table,
                "rule": kept.rule,
                "bytes": measured[kept.table][0],
                "rows": measured[kept.table][1],
                "forgotten": forgotten.get(kept.table, 0),
            }
            for kept in KEPT
        ]
        lines = [
            f"{one['table']:32} {int(str(one['bytes'])) // MEBIBYTE:>8,} MiB {one['rows']:>12,} rows  {one['rule']}"
            + (f"; {one['forgotten']:,} forgotten" if one["forgotten"] else "")
            for one in facts
        ]
        self.answer({"tables": facts, "applied": options["applies"]}, lines=lines, as_json=options["as_json"])
