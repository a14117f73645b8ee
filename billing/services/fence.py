"""The fence as operators see it, and the way out when a stored value is corrupt.

A reset puts the Redis keys of a stream back to what its row in Postgres says, which is the authority. It is a
decision by two people, and a journal in the ledger records it before anything is changed. It goes through the
in-transaction lane, because the stream's own fence is what is broken.
"""

from dataclasses import dataclass
from typing import Final, cast

from django.db import connection, transaction

from billing.domain.errors import ApprovalInvalid, Refused
from billing.domain.journal import Journal, JournalKind
from billing.locks.errors import RedisUnavailable
from billing.locks.fencing import fence_keys
from billing.locks.redis_client import redis_client, unavailable_as_one_error
from billing.locks.scripts import text_of
from billing.locks.stream_rows import StreamRow, stream_row, stream_rows
from billing.services.append_journal import append_in_transaction
from billing.services.outcomes import require_written
from telemetry import names
from telemetry.identifiers import new_id
from telemetry.logging import get_logger

log = get_logger(__name__)

APPROVAL_SECONDS: Final = 3600
NOT_SET: Final = "(not set)"


@dataclass(frozen=True, slots=True)
class FenceStatus:
    """One stream by both gates; the Redis values are text as stored, or empty when Redis was not asked."""

    stream: int
    lane: str
    last_token: int
    holder: str
    epoch: int
    is_leased: bool
    redis_lease: str
    redis_issuer: str
    redis_last_accepted: str


def fence_status() -> list[FenceStatus]:
    """Every stream's row beside its Redis keys. Without Redis, or when it does not answer, the keys are empty."""
    return [_status_of(row) for row in stream_rows()]


def request_reset(stream: int, *, maker: str, reason: str) -> str:
    """Ask a second person to let a stream's fence be reset; the approval's id, good for an hour."""
    _require_row(stream)
    approval_id = new_id("apr")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT billing.request_approval(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                *(approval_id, JournalKind.FENCE_RESET, f"stream:{stream}", "MicroUSD", 1),
                *(f"stream:{stream}", reason, maker, APPROVAL_SECONDS),
            ],
        )
    return approval_id


def reset_fence(stream: int, *, approval_id: str, checker: str) -> FenceStatus:
    """Grant the request and put the stream's Redis keys back to its row's token.

    Locks the row of one in-transaction stream. Raises ApprovalInvalid (unknown, expired, changed, used, or granted by
    its maker), Refused when the approval is for another stream, and RedisUnavailable; then the journal stands and the
    same reset may be asked for again.
    """
    row = _require_row(stream)
    before = _status_of(row)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT target, reason FROM billing.approval WHERE id = %s", [approval_id])
        asked = cursor.fetchone()
        if asked is None or asked[0] != f"stream:{stream}":
            raise ApprovalInvalid(approval_id=approval_id, detail=f"it is not for stream {stream}")
        cursor.execute("SELECT billing.grant_approval(%s, %s)", [approval_id, checker])
        verdict = cursor.fetchone()[0]
        if verdict not in ("ok", "granted_already"):
            raise ApprovalInvalid(approval_id=approval_id, detail=verdict)
        [result] = append_in_transaction([_journal_of(before, approval_id=approval_id, by=checker, reason=asked[1])])
        require_written(result)
    write_keys(stream, token=row.last_token)
    log.critical(
        names.FENCE_RESET,
        stream=stream,
        token=row.last_token,
        by=checker,
        before=[before.redis_issuer, before.redis_last_accepted],
        severity="critical",
    )
    return _status_of(row)


def write_keys(stream: int, *, token: int) -> None:
    """Set the issuer and the last accepted token of a stream. Raises RedisUnavailable."""
    redis = redis_client()
    if redis is None:
        return
    keys = fence_keys(stream)
    with unavailable_as_one_error():
        redis.mset({keys.issuer: str(token), keys.last_accepted: str(token)})


def _journal_of(before: FenceStatus, *, approval_id: str, by: str, reason: str) -> Journal:
    return Journal(
        kind=JournalKind.FENCE_RESET,
        key=f"fence_reset:{approval_id}",
        postings=(),
        approval_id=approval_id,
        metadata={
            "target": f"stream:{before.stream}",
            "destination": f"stream:{before.stream}",
            "by": by,
            "reason": reason,
            "issuer_before": before.redis_issuer[:100],
            "last_accepted_before": before.redis_last_accepted[:100],
            "row_token": str(before.last_token),
        },
    )


def _require_row(stream: int) -> StreamRow:
    row = stream_row(stream)
    if row is None:
        raise Refused(stream=stream, detail="there is no such stream")
    return row


def _status_of(row: StreamRow) -> FenceStatus:
    values = ("", "", "")
    redis = redis_client()
    if redis is not None and row.lane == "writer":
        keys = fence_keys(row.stream)
        try:
            with unavailable_as_one_error():
                found = cast(list[bytes | None], redis.mget(keys.lease, keys.issuer, keys.last_accepted))
            lease, issuer, last_accepted = [NOT_SET if value is None else text_of(value) for value in found]
            values = (lease, issuer, last_accepted)
        except RedisUnavailable as error:
            log.warning(names.REDIS_UNAVAILABLE, error=str(error)[:200])
    return FenceStatus(row.stream, row.lane, row.last_token, row.holder, row.epoch, row.is_leased, *values)
