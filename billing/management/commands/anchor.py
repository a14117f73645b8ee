"""`manage.py anchor`: sign the ledger's heads now."""

from argparse import ArgumentParser
from typing import Any

from billing.management.output import ChangingCommand
from billing.services.anchor_signers import configured_signer
from billing.services.anchors import take_anchor, take_anchor_if_due


class Command(ChangingCommand):
    help = "Sign the heads of all streams, store the anchor and append it to the file outside."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whether to wait until it is due."""
        super().add_arguments(parser)
        parser.add_argument("--if-due", action="store_true", dest="is_only_if_due")

    def run(self, options: dict[str, Any]) -> None:
        """Anchor."""
        signer = configured_signer()
        anchor = None
        if not options["is_dry_run"]:
            anchor = take_anchor_if_due(signer=signer) if options["is_only_if_due"] else take_anchor(signer=signer)
        facts = {
            "key_id": signer.key_id,
            "dry_run": options["is_dry_run"],
            "anchor_id": anchor.id if anchor else None,
            "digest": anchor.digest.hex() if anchor else None,
        }
        line = (
            f"Anchor {anchor.id}: {anchor.digest.hex()}" if anchor else f"No anchor taken; the key is {signer.key_id}."
        )
        self.answer(facts, lines=[line], as_json=options["as_json"])
