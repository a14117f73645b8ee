"""`manage.py poll_transfers`: look once at what moved in the watched collections, as beat does all the time."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from billing.management.output import OperatorCommand
from nft.services import transfer_polling


class Command(OperatorCommand):
    help = "Reads the transfers of the watched collections since the last look and lets agents follow their tokens."

    def run(self, options: dict[str, Any]) -> None:
        """Look once; exit code 1 when a collection could not be read."""
        done, failed = transfer_polling.poll()
        lines = [
            f"{one.collection}: {one.transfers} transfers in blocks {one.from_block} to {one.to_block}"
            + (", after a re-organisation." if one.is_reorganised else ".")
            for one in done
        ]
        facts = {"collections": [asdict(one) for one in done], "failed": failed}
        self.answer(facts, lines=lines or ["No collection is watched."], as_json=options["as_json"])
        if failed:
            raise CommandError(f"Not to be read just now: {', '.join(failed)}.")
