"""Fencing tokens of the ledger's streams: issued per batch, accepted only when strictly greater (plan 11.3).

Keys, before the deployment's prefix. Stream 0 of the default environment has the plan's bare names; every other
lease and issuer carries environment and stream, as `last_accepted` always carries its environment.

    wal:writer:lock                          the lease of a stream's writer
    wal:writer:fence                         the issuer: the last token given out
    wal:writer:last_accepted:{environment}   the last token the CAS accepted

Tokens are stored as canonical decimal strings up to 2^53 - 1, at which doubles are still exact. The Redis CAS is
the first gate only: when it accepts and the append then fails, a token is skipped and nothing is wrong; when it
cannot be asked, the stream's row in Postgres decides alone.
"""

from dataclasses import dataclass
from typing import Final, NoReturn, cast

from redis import Redis

from billing.locks.errors import (
    FencingTokenCorrupt,
    FencingTokenInvalid,
    FencingTokenOverflow,
    RedisUnavailable,
)
from billing.locks.redis_client import redis_client, unavailable_as_one_error
from billing.locks.scripts import Script, text_of
from billing.metrics import FENCING_REFUSALS
from telemetry import names
from telemetry.configuration import DEFAULTS, loa, redis_key
from telemetry.logging import get_logger, log_metric

log = get_logger(__name__)

MAX_SAFE_INTEGER: Final = 2**53 - 1

OK: Final = "OK"
STALE: Final = "STALE"
CORRUPT: Final = "CORRUPT"

WAL_FENCING_CAS: Final = Script("wal_fencing_cas", after=("canonical_token",))
ISSUE_TOKEN: Final = Script("issue_token", after=("canonical_token",))


@dataclass(frozen=True, slots=True)
class FenceKeys:
    """The physical Redis keys of one stream's fence."""

    lease: str
    issuer: str
    last_accepted: str


def fence_keys(stream: int = 0) -> FenceKeys:
    """The keys of a stream in this deployment's environment."""
    environment = loa("ENVIRONMENT")
    shard = f":{stream}" if stream else ""
    bare = stream == 0 and environment == DEFAULTS["ENVIRONMENT"]
    suffix = "" if bare else f":{environment}{shard}"
    return FenceKeys(
        lease=redis_key(f"wal:writer:lock{suffix}"),
        issuer=redis_key(f"wal:writer:fence{suffix}"),
        last_accepted=redis_key(f"wal:writer:last_accepted:{environment}{shard}"),
    )


def require_safe_token(token: int) -> int:
    """The token itself, if it is a whole number from 0 to 2^53 - 1. Raises FencingTokenInvalid otherwise."""
    if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token <= MAX_SAFE_INTEGER:
        log_metric(log, names.FENCING_TOKEN_INVALID_INPUT, level="error", token=repr(token)[:64])
        raise FencingTokenInvalid(token=repr(token)[:64])
    return token


def validate_and_advance_fencing_token(token: int, *, stream: int = 0) -> str:
    """Ask the first gate: OK advances the last accepted token to `token`, STALE and CORRUPT change nothing.

    A caller appends only after OK. Without Redis, or when it cannot answer, the result is OK as well: the gate
    that counts is the stream's row, and the next successful CAS re-establishes the order here.
    Raises FencingTokenInvalid before Redis is asked. Source: plan 11.3, product.md decision 7.
    """
    require_safe_token(token)
    redis = redis_client()
    if redis is None:
        return OK
    keys = fence_keys(stream)
    try:
        verdict = text_of(_one(WAL_FENCING_CAS.run(redis, keys=[keys.last_accepted], arguments=[token])))
        if verdict == STALE:
            log_stale(stream=stream, token=token, last_accepted=_stored_text(redis, keys.last_accepted))
        elif verdict == CORRUPT:
            log_corrupt(stream=stream, stored_value=_stored_text(redis, keys.last_accepted))
    except RedisUnavailable as error:
        log_sync_failed(stream=stream, token=token, error=error)
        return OK
    return verdict


@dataclass(frozen=True, slots=True)
class Issued:
    """What the issuer answered: the token and whether the CAS took it; `token` is None when the lease is lost."""

    token: int | None
    is_accepted: bool
    last_accepted: str = ""
    holder: str = ""


def issue_token(redis: Redis, *, stream: int, holder: str, floor: int) -> Issued:
    """Issue a token above `floor` to the lease's holder and pass it through the CAS, in one call.

    `floor` is the token of the stream's row, so that a counter which a flush or a stale replica put back is
    lifted above what Postgres has already accepted.
    Raises FencingTokenOverflow past 2^53 - 1, FencingTokenCorrupt for a stored value that is no token (nothing is
    issued to anybody until `fence_reset`), RedisUnavailable.
    """
    require_safe_token(floor)
    keys = fence_keys(stream)
    reply = ISSUE_TOKEN.run(redis, keys=[keys.lease, keys.issuer, keys.last_accepted], arguments=[holder, floor])
    verdict, *facts = [text_of(part) for part in reply] if isinstance(reply, list) else [text_of(reply)]
    if verdict == "LOST_LEASE":
        return Issued(token=None, is_accepted=False, holder=facts[0])
    if verdict == "OVERFLOW":
        refuse_overflow(stream=stream, issued=int(facts[0]))
    if verdict == CORRUPT:
        which, stored_value = facts
        log_corrupt(stream=stream, stored_value=stored_value)
        raise FencingTokenCorrupt(
            stream=stream,
            key=keys.issuer if which == "issuer" else keys.last_accepted,
            stored_value=stored_value,
        )
    token, last_accepted = int(facts[0]), facts[1]
    if verdict == STALE:
        log_stale(stream=stream, token=token, last_accepted=last_accepted)
    return Issued(token=token, is_accepted=verdict == OK, last_accepted=last_accepted)


def refuse_overflow(*, stream: int, issued: int) -> NoReturn:
    """Log and raise that a stream has no token left. Always raises FencingTokenOverflow."""
    FENCING_REFUSALS.labels(reason="overflow").inc()
    log_metric(log, names.FENCING_TOKEN_OVERFLOW, level="critical", stream=stream, issued=issued, severity="critical")
    raise FencingTokenOverflow(stream=stream, issued=issued)


def log_stale(*, stream: int, token: int, last_accepted: str | int) -> None:
    """Say that a token was refused, in the plan's words."""
    FENCING_REFUSALS.labels(reason="stale").inc()
    log_metric(
        log,
        names.FENCING_TOKEN_STALE,
        level="warning",
        token=token,
        lastAccepted=int(last_accepted) if str(last_accepted).isdigit() else str(last_accepted),
        stream=stream,
    )


def log_corrupt(*, stream: int, stored_value: str) -> None:
    """Say that a stored fence value is none, in the plan's words; alarms match `severity`."""
    FENCING_REFUSALS.labels(reason="corrupt").inc()
    log_metric(
        log,
        names.FENCING_TOKEN_CORRUPT,
        level="critical",
        stored_value=stored_value,
        severity="critical",
        stream=stream,
    )


def log_sync_failed(*, stream: int | None, token: int | None, error: Exception) -> None:
    """Say that Redis could not be told of a token; the row has it, and the next CAS catches up."""
    log_metric(
        log,
        names.FENCING_TOKEN_REDIS_SYNC_FAILED,
        level="warning",
        stream=stream,
        token=token,
        error=str(error)[:200],
    )


def _stored_text(redis: Redis, key: str) -> str:
    """What a key holds, for the log; a value of another type is named by its type."""
    with unavailable_as_one_error():
        kind = cast(bytes, redis.type(key))
        stored = cast(bytes | None, redis.get(key)) if kind in (b"string", b"none") else b"a " + kind
    return text_of(stored)


def _one(reply: bytes | int | list[bytes | int] | None) -> bytes | int | None:
    return reply[0] if isinstance(reply, list) else reply
