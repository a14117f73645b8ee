"""The newest anchor outside the database, and whether the database still has what it saw."""

import json
import os
from pathlib import Path
from typing import Any, Final

from telemetry.configuration import loa

LINE_BYTES_MAX: Final = 1_000_000  # an anchor of many streams is some ten kilobytes

_MISSING: Final = """
SELECT h.stream, h.sequence FROM unnest(%s::int[], %s::bigint[], %s::text[]) h(stream, sequence, hash)
WHERE NOT EXISTS (
    SELECT FROM billing.journal j
    WHERE j.stream = h.stream AND j.sequence = h.sequence AND encode(j.hash, 'hex') = h.hash)
ORDER BY 1, 2
"""


def missing_heads(cursor: Any) -> list[tuple[int, int]]:
    """Stream and sequence of every head that the newest anchor outside saw and the ledger does not have."""
    anchor = newest_outside()
    if anchor is None:
        return []
    heads = [(int(stream), int(sequence), str(head)) for stream, sequence, head in anchor["content"]["heads"]]
    written = [head for head in heads if head[1] > 0]
    if not written:
        return []
    streams, sequences, hashes = (list(column) for column in zip(*written, strict=True))
    cursor.execute(_MISSING, [streams, sequences, hashes])
    return [(int(stream), int(sequence)) for stream, sequence in cursor.fetchall()]


def newest_outside() -> dict[str, Any] | None:
    """The last line of the file of anchors; None where there is none."""
    path = loa("ANCHOR_PATH")
    if not path or not Path(path).exists():
        return None
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LINE_BYTES_MAX))
        lines = file.read().splitlines()
    found: dict[str, Any] | None = json.loads(lines[-1]) if lines else None
    return found


def set_aside_lost(cursor: Any, *, recovery_id: str) -> str:
    """Give the file of anchors another name when the ledger lost its newest anchor; the new name, else nothing.

    The old file stays as evidence, and a new one begins with the anchors that the ledger still has.
    """
    anchor = newest_outside()
    if anchor is None:
        return ""
    cursor.execute("SELECT 1 FROM billing.anchor WHERE digest = %s", [bytes.fromhex(anchor["digest"])])
    if cursor.fetchone() is not None:
        return ""
    path = loa("ANCHOR_PATH")
    kept = f"{path}.before-{recovery_id}"
    Path(path).rename(kept)
    return kept
