"""What is written down of the database outside of it: a small file, and Redis as a second place.

The file is LOA["TIMELINE_FILE"], one per machine. Where Redis is configured as well, the note is kept there too, for a
machine that is new and has no file yet. Without the setting nothing is written down, and only what the database says
of itself is compared. A note that cannot be read or written is reported and treated as if there were none: losing one
place weakens the comparison and never stops a payment.
"""

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from billing.domain.recovery import Note, Place
from billing.locks.errors import RedisUnavailable
from billing.locks.redis_client import redis_client, unavailable_as_one_error
from telemetry import names
from telemetry.configuration import loa, redis_key
from telemetry.logging import get_logger

log = get_logger(__name__)

REDIS_NAME: Final = "recovery:note"


def read_note() -> Note | None:
    """The note of this machine, else the one in Redis, else None. Ask before asking the database where it is."""
    path = loa("TIMELINE_FILE")
    if not path:
        return None
    return _parsed(_of_file(Path(path)), place="file") or _parsed(_of_redis(), place="redis")


def write_note(note: Note) -> None:
    """Put the note into both places; the file is replaced at once, so that half of one is never read."""
    path = loa("TIMELINE_FILE")
    if not path:
        return
    text = _text(note)
    unfinished = Path(f"{path}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        log.warning(names.RECOVERY_NOTE_FAILED, place="file", reason=str(error)[:200])
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    redis = redis_client()
    if redis is not None:
        try:
            with unavailable_as_one_error():
                redis.set(redis_key(REDIS_NAME), text)
        except RedisUnavailable as error:
            log.warning(names.RECOVERY_NOTE_FAILED, place="redis", reason=str(error)[:200])


def _of_file(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii") if path.exists() else ""
    except (OSError, ValueError) as error:
        log.warning(names.RECOVERY_NOTE_FAILED, place="file", reason=str(error)[:200])
        return ""


def _of_redis() -> str:
    redis = redis_client()
    if redis is None:
        return ""
    try:
        with unavailable_as_one_error():
            value = redis.get(redis_key(REDIS_NAME))
    except RedisUnavailable as error:
        log.warning(names.RECOVERY_NOTE_FAILED, place="redis", reason=str(error)[:200])
        return ""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")


def _text(note: Note) -> str:
    place = note.place
    return json.dumps(
        {
            "schema_version": 1,
            "acceptance_id": note.acceptance_id,
            "server": place.server,
            "timeline": place.timeline,
            "position": place.position,
        }
    )


def _parsed(text: str, *, place: str) -> Note | None:
    if not text:
        return None
    try:
        found = json.loads(text)
        noted = Place(str(found["server"]), int(found["timeline"]), int(found["position"]))
        return Note(str(found["acceptance_id"]), noted)
    except (ValueError, TypeError, KeyError) as error:
        log.warning(names.RECOVERY_NOTE_FAILED, place=place, reason=f"unreadable: {error}"[:200])
        return None
