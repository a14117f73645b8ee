"""Closing a period: after it, nothing may be dated into it (rule R31)."""

from datetime import datetime

from django.db import connection

from billing.domain.errors import Refused
from telemetry import names
from telemetry.logging import get_logger

log = get_logger(__name__)


def close_period(until: datetime, *, by: str) -> int:
    """Close everything up to and including `until`, on every stream at once; how many streams there are.

    Locks every stream's row, in order, so that no batch in flight posts into the closed period; new streams inherit.
    Closing less than is closed already changes nothing but is recorded. Raises Refused for a moment that is not over.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s < clock_timestamp()", [until])
        if not by or not cursor.fetchone()[0]:
            raise Refused(until=until.isoformat(), detail="a period is closed by somebody, and only once it is over")
        cursor.execute("SELECT billing.close_period(%s, %s)", [until, by])
        stream_count = int(cursor.fetchone()[0])
    log.info(names.PERIOD_CLOSED, until=until.isoformat(), by=by, streams=stream_count)
    return stream_count


def closed_until() -> datetime | None:
    """The end of the last closed period, or None when none was closed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(closed_until) FROM billing.stream WHERE closed_until > '-infinity'")
        ended: datetime | None = cursor.fetchone()[0]
    return ended
