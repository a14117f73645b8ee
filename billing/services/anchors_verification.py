"""The part of the ledger's proof that compares every anchor with the ledger of today.

Anchors follow each other by digest, are signed, and name heads that must still be the hashes of their journals. An
anchor in the file outside that the database no longer has, or has differently, means that the database was put back
or rewritten. Signatures of the configured key are checked; those of earlier keys, and all of them where no key is
configured, are taken for what the chain of digests says.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.db.backends.utils import CursorWrapper

from billing.services.anchor_signers import AnchorsNotConfigured, Signer, configured_signer
from billing.services.anchors import GENESIS, anchors_after, digest_of
from billing.services.verification_findings import CheckResult, Finding
from telemetry.configuration import loa

_HEADS: Final = """
SELECT a.id, (h ->> 0)::integer, (h ->> 1)::bigint
FROM billing.anchor a CROSS JOIN LATERAL jsonb_array_elements(a.heads) h
WHERE (h ->> 1)::bigint > 0 AND NOT EXISTS (
    SELECT FROM billing.journal j
    WHERE j.stream = (h ->> 0)::integer AND j.sequence = (h ->> 1)::bigint AND encode(j.hash, 'hex') = h ->> 2)
ORDER BY a.id, 2 LIMIT 1
"""


def check_anchors(cursor: CursorWrapper) -> CheckResult:
    """Every anchor follows its predecessor, is signed, and its heads are still in the ledger; also those outside."""
    signer = _signer()
    count, finding = _check_rows(signer)
    if finding is None:
        finding = _check_heads(cursor)
    if finding is None:
        finding = _check_file(cursor, signer)
    return CheckResult("anchors", count, finding)


def _check_rows(signer: Signer | None) -> tuple[int, Finding | None]:
    previous, count = GENESIS, 0
    for anchor in anchors_after(0):
        if anchor.content["previous_digest"] != previous.hex():
            return count, _finding(anchor.id, "it does not follow the anchor before it")
        if digest_of(anchor.content) != anchor.digest:
            return count, _finding(anchor.id, "its digest does not fit its content")
        if signer and signer.key_id == anchor.key_id and not signer.is_signed(anchor.digest, anchor.signature):
            return count, _finding(anchor.id, "its signature is not ours")
        previous, count = anchor.digest, count + 1
    return count, None


def _check_heads(cursor: CursorWrapper) -> Finding | None:
    cursor.execute(_HEADS)
    row = cursor.fetchone()
    if row is None:
        return None
    anchor_id, stream, sequence = row
    return _finding(anchor_id, f"journal {sequence} of stream {stream}, which it saw, is gone or was changed")


def _check_file(cursor: CursorWrapper, signer: Signer | None) -> Finding | None:
    for line_number, anchor in _lines_outside():
        digest = bytes.fromhex(anchor["digest"])
        if digest_of(anchor["content"]) != digest:
            return _finding(anchor["id"], f"line {line_number} of the file outside was changed")
        is_own = signer is not None and signer.key_id == anchor["key_id"]
        if signer and is_own and not signer.is_signed(digest, bytes.fromhex(anchor["signature"])):
            return _finding(anchor["id"], f"line {line_number} of the file outside is not signed by us")
        cursor.execute("SELECT 1 FROM billing.anchor WHERE digest = %s", [digest])
        if cursor.fetchone() is None:
            return _finding(anchor["id"], f"the file outside has it (line {line_number}), the database does not")
    return None


def _lines_outside() -> Iterator[tuple[int, dict[str, Any]]]:
    path = loa("ANCHOR_PATH")
    if not path or not Path(path).exists():
        return
    with open(path, encoding="ascii") as file:
        for number, line in enumerate(file, start=1):
            yield number, json.loads(line)


def _signer() -> Signer | None:
    try:
        return configured_signer()
    except AnchorsNotConfigured:
        return None


def _finding(anchor_id: int, detail: str) -> Finding:
    return Finding("anchors", f"anchor {anchor_id}", detail)
