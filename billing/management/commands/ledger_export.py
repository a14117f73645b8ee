"""`manage.py ledger_export FILE`: the whole ledger as CSV or Parquet, with a checksum beside it."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from billing.management.output import OperatorCommand
from billing.services.exports import export_csv, export_parquet


class Command(OperatorCommand):
    help = "Write every posting with its journal to FILE, and the file's sha256 to FILE.sha256."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to, and as what."""
        super().add_arguments(parser)
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", choices=("csv", "parquet"), default="csv", dest="file_format")

    def run(self, options: dict[str, Any]) -> None:
        """Write the file."""
        write = export_csv if options["file_format"] == "csv" else export_parquet
        try:
            export = write(options["file"])
        except OSError as error:
            raise CommandError(f"The file cannot be written: {error}") from error
        facts = {"path": str(export.path), "lines": export.line_count, "sha256": export.sha256}
        lines = [f"{export.line_count} lines in {export.path}, sha256 {export.sha256}"]
        self.answer(facts, lines=lines, as_json=options["as_json"])
