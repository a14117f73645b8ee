"""`manage.py ledger_archive FOLDER`: every month that is over and not archived yet, or one; `--verify` proves them."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from billing.management.output import ChangingCommand
from billing.services.archives import Month, archive_month, archives_in, findings_of, months_to_archive

FINDINGS_SHOWN = 50


class Command(ChangingCommand):
    help = "Write closed months of the ledger as Parquet files that prove themselves, or verify those in FOLDER."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to, which month, or whether to verify."""
        super().add_arguments(parser)
        parser.add_argument("folder", type=Path)
        parser.add_argument("--month", help="one month, like 2026-11; otherwise all that are over and missing")
        parser.add_argument(
            "--verify", action="store_true", help="check files, chains, sums and the database's history"
        )

    def run(self, options: dict[str, Any]) -> None:
        """Archive or verify."""
        folder: Path = options["folder"]
        if options["verify"]:
            self._verify(folder, as_json=options["as_json"])
            return
        months = [Month.parse(options["month"])] if options["month"] else months_to_archive(folder)
        if options["is_dry_run"]:
            names = [str(month) for month in months]
            self.answer({"months": names, "dry_run": True}, lines=names, as_json=options["as_json"])
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            archives = [archive_month(folder, month) for month in months]
        except OSError as error:
            raise CommandError(f"The archive cannot be written: {error}") from error
        facts = [
            {"month": str(one.month), "journals": one.journals, "postings": one.postings, "sha256": one.sha256}
            for one in archives
        ]
        lines = [f"{one.month}: {one.journals:,} journals in {one.path}, sha256 {one.sha256}" for one in archives]
        self.answer({"archived": facts, "dry_run": False}, lines=lines, as_json=options["as_json"])

    def _verify(self, folder: Path, *, as_json: bool) -> None:
        archives = archives_in(folder)
        findings = [finding for finding, _ in zip(findings_of(archives), range(FINDINGS_SHOWN), strict=False)]
        facts = {
            "ok": bool(archives) and not findings,
            "months": [str(one.month) for one in archives],
            "journals": sum(one.journals for one in archives),
            "findings": findings,
        }
        lines = findings or [f"{len(archives)} months, {facts['journals']:,} journals: every chain holds."]
        self.answer(facts, lines=lines, as_json=as_json)
        if not facts["ok"]:
            raise CommandError("The archive does not hold." if archives else f"There is no archive in {folder}.")
