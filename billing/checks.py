"""System checks of the ledger: what must be configured before money moves."""

from typing import Any

from django.core.checks import CheckMessage, Error, Info, Tags, register

from billing.services.anchor_signers import AnchorsNotConfigured, configured_signer
from telemetry.configuration import loa


@register(Tags.security, deploy=True)
def anchors_are_signed(**_: Any) -> list[CheckMessage]:
    """In production the ledger's heads are signed and kept outside the database."""
    try:
        configured_signer()
    except AnchorsNotConfigured as error:
        return [
            Info(
                f"The ledger's heads are not anchored: {error}",
                hint="Set LOA_ANCHOR_KEY_FILE to a file with an Ed25519 private key (PEM), and LOA_ANCHOR_PATH.",
                id="billing.I001",
            )
        ]
    if not loa("ANCHOR_PATH"):
        return [
            Info(
                "Anchors are kept in the database only, where whoever can rewrite the ledger can remove them.",
                hint="Set LOA_ANCHOR_PATH to a file on storage of its own.",
                id="billing.I002",
            )
        ]
    return []


@register(Tags.caches)
def redis_prefix_is_plain(**_: Any) -> list[CheckMessage]:
    """A key prefix may hold no spaces or wildcards, or scans and cluster slots go wrong."""
    prefix = loa("REDIS_KEY_PREFIX")
    if any(character.isspace() or character in "*?[]" for character in prefix):
        return [
            Error(
                f"LOA['REDIS_KEY_PREFIX'] {prefix!r} holds a space or a wildcard.",
                hint="On a cluster use {loa}:, elsewhere leave it empty or use letters and a colon.",
                id="billing.E001",
            )
        ]
    return []
