"""Leases on payments whose work is running here, renewed by one heartbeat thread per process.

A crashed process stops renewing, and its payments are credited or run again after the lease ends (R6).
"""

import threading
import time
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, connection

from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger

log = get_logger(__name__)

SERVING_SECONDS_MAX = 1_200.0  # work that nobody ends is not renewed for ever: its payer gets the money back
MARGIN = 1 / 6  # of the lease: a part of a stream is not sent any more when so little of it is left


@dataclass(frozen=True, slots=True)
class Claim:
    """A payment that is this process's to serve: by which attempt, and when its money came, as its row says."""

    attempt: int
    settled_at: datetime | None


class ServingLeases:
    """The payments this process serves now, with the attempt it serves them by."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._serving: dict[str, int] = {}
        self._held_until: dict[str, float] = {}
        self._ends_at: dict[str, float] = {}
        self._busy = threading.Event()
        self._heart: threading.Thread | None = None

    def claim(self, payment_id: str) -> Claim | None:
        """Take a settled payment, or a crashed one that may run again, for this process; None when it is not ours.

        `serving` is committed here, before any work starts. One guarded statement: exactly one caller wins.
        """
        asked_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE x402_payment SET state = 'serving', updated_at = clock_timestamp(),"
                " attempt = attempt + CASE WHEN state = 'serving' THEN 1 ELSE 0 END,"
                " lease_until = clock_timestamp() + make_interval(secs => %s)"
                " WHERE id = %s AND (state = 'settled' OR (state = 'serving' AND lease_until < clock_timestamp()"
                " AND on_crash = 'rerun' AND attempt = 1)) RETURNING attempt, settled_at",
                [float(loa("SERVING_LEASE_SECONDS")), payment_id],
            )
            row = cursor.fetchone()
        return None if row is None else Claim(self._hold(payment_id, attempt=int(row[0]), asked_at=asked_at), row[1])

    def claim_work(self, payment_id: str) -> int | None:
        """Take a payment that settles after its work, to do that work; its attempt, or None.

        Work that a crash interrupted may run once more where its endpoint says so. One guarded statement.
        """
        asked_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE x402_payment SET work = 'running', updated_at = clock_timestamp(),"
                " attempt = attempt + CASE WHEN work = 'running' THEN 1 ELSE 0 END,"
                " lease_until = clock_timestamp() + make_interval(secs => %s)"
                " WHERE id = %s AND state = 'verified' AND settle_order <> 'before' AND (work = ''"
                " OR (work = 'running' AND lease_until < clock_timestamp() AND on_crash = 'rerun' AND attempt = 1))"
                " RETURNING attempt",
                [float(loa("SERVING_LEASE_SECONDS")), payment_id],
            )
            row = cursor.fetchone()
        return None if row is None else self._hold(payment_id, attempt=int(row[0]), asked_at=asked_at)

    def _hold(self, payment_id: str, *, attempt: int, asked_at: float) -> int:
        with self._lock:
            self._serving[payment_id] = attempt
            self._held_until[payment_id] = asked_at + float(loa("SERVING_LEASE_SECONDS")) * (1 - MARGIN)
            self._ends_at[payment_id] = asked_at + SERVING_SECONDS_MAX
            self._busy.set()
            if self._heart is None or not self._heart.is_alive():
                self._heart = threading.Thread(target=self._beat, name="serving-heartbeat", daemon=True)
                self._heart.start()
        return attempt

    def drop(self, payment_id: str) -> None:
        """The work of this payment ended; its lease is no longer renewed."""
        with self._lock:
            for known in (self._serving, self._held_until, self._ends_at):
                known.pop(payment_id, None)
            if not self._serving:
                self._busy.clear()

    def is_held(self, payment_id: str) -> bool:
        """Whether this process surely holds the lease now, by its own clock and with a margin (R6, streams)."""
        return time.monotonic() < self._held_until.get(payment_id, 0.0)

    def _beat(self) -> None:
        period = float(loa("SERVING_LEASE_SECONDS")) / 3
        while self._busy.wait(timeout=60):
            threading.Event().wait(period)
            now = time.monotonic()
            with self._lock:
                serving = {known: attempt for known, attempt in self._serving.items() if now < self._ends_at[known]}
            if not serving:
                continue
            try:
                self._renew(serving)
            except DatabaseError:
                log.warning(names.SERVING_LEASE_NOT_RENEWED, payments=len(serving))
            finally:
                connection.close()

    def _renew(self, serving: dict[str, int]) -> None:
        """Renew what is still ours; what was taken over is not held any more, and its time here runs out."""
        asked_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE x402_payment SET lease_until = clock_timestamp() + make_interval(secs => %s)"
                " FROM unnest(%s::text[], %s::int[]) AS mine(payment_id, attempt)"
                " WHERE id = mine.payment_id AND x402_payment.attempt = mine.attempt"
                " AND (state = 'serving' OR (state = 'verified' AND work = 'running')) RETURNING id",
                [float(loa("SERVING_LEASE_SECONDS")), list(serving), list(serving.values())],
            )
            renewed = [row[0] for row in cursor.fetchall()]
        held_until = asked_at + float(loa("SERVING_LEASE_SECONDS")) * (1 - MARGIN)
        with self._lock:
            self._held_until |= {known: held_until for known in renewed if known in self._serving}


leases = ServingLeases()
