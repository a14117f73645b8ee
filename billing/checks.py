"""System checks of the ledger: what must be configured before money moves."""

from typing import Any

from django.core.checks import CheckMessage, Error, Info, Tags, register
from django.db import DatabaseError, connection

from billing.services.anchor_signers import AnchorsNotConfigured, configured_signer
from telemetry.configuration import loa

ENVIRONMENTS_OF_ONE_MACHINE = frozenset({"local", "test", "development"})
FAILOVERS = frozenset({"", "none", "managed"})


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


@register(Tags.security)
def commits_outlive_a_failover(**_: Any) -> list[CheckMessage]:
    """A deployment waits for a second copy of each commit, or declares why it need not (rule R10).

    Says nothing where the database cannot be asked: then nothing can start anyway.
    """
    if loa("ENVIRONMENT") in ENVIRONMENTS_OF_ONE_MACHINE:
        return []
    declared = loa("POSTGRES_FAILOVER")
    if declared not in FAILOVERS:
        return [
            Error(
                f"LOA['POSTGRES_FAILOVER'] is {declared!r}.",
                hint=f"It is empty or one of: {', '.join(sorted(FAILOVERS - {''}))}.",
                id="billing.E002",
            )
        ]
    if declared or _standbys() != "":
        return []
    return [
        Error(
            "Commits wait for no second copy: promoting a replica would forget money that was acknowledged.",
            hint="Set synchronous_standby_names in Postgres; or LOA_POSTGRES_FAILOVER to 'managed' where the provider"
            " does the same, or to 'none' for a single server that is restored and never promoted.",
            id="billing.E003",
        )
    ]


@register(Tags.security, deploy=True)
def trusted_database_is_noted(**_: Any) -> list[CheckMessage]:
    """A deployment writes down outside the database which one it last trusted."""
    if loa("TIMELINE_FILE"):
        return []
    return [
        Info(
            "An old server that comes back, or a snapshot that is put back, would not be noticed.",
            hint="Set LOA_TIMELINE_FILE to a file on this machine's own disk; it is also kept in Redis.",
            id="billing.I003",
        )
    ]


def _standbys() -> str | None:
    """Which standbys a commit waits for; None when the database cannot be asked."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('synchronous_standby_names')")
            return str(cursor.fetchone()[0])
    except DatabaseError:
        return None


@register(Tags.caches)
def redis_prefix_keeps_keys_together(**_: Any) -> list[CheckMessage]:
    """On a cluster a script that names several keys needs them in one slot, which a hash tag in the prefix gives."""
    prefix = loa("REDIS_KEY_PREFIX")
    opened, closed = prefix.find("{"), prefix.find("}")
    if loa("REDIS_CLUSTER") and not 0 <= opened < closed - 1:
        return [
            Error(
                f"On a Redis cluster LOA['REDIS_KEY_PREFIX'] {prefix!r} must hold a hash tag.",
                hint="Set LOA_REDIS_KEY_PREFIX={loa}:, or any other text in braces.",
                id="billing.E004",
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
