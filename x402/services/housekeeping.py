"""Sweeping without workers: a small site runs no Celery, so its paid requests start what is due.

With `BACKGROUND_WORK = "requests"` at most one thread per process sweeps, at most every quarter of a minute, while
requests come in: unknown settlements are resolved, crashed work is credited, late bookings and refunds are made. Where
nobody asks for anything, `manage.py reconcile` does the same. With "workers" Celery does it and nothing happens here.
"""

import threading
import time
from typing import Final

from django.db import DatabaseError, InterfaceError, connections

from billing.domain.errors import BillingError
from billing.services import finalize_drain, reservations
from billing.services.expire_credit_notes import expire_credit_notes
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger
from x402.services import owed_refunds, refunds, sweeps

EVERY_SECONDS: Final = 15.0  # the rhythm Celery's beat has for the same sweep

log = get_logger(__name__)


class Housekeeping:
    """When this process swept last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due_at = 0.0
        self.thread: threading.Thread | None = None

    def begin_if_due(self) -> None:
        """Start the sweep beside this request, when it is this process's turn. Returns at once."""
        if loa("BACKGROUND_WORK") != "requests" or time.monotonic() < self._due_at:
            return
        with self._lock:
            if time.monotonic() < self._due_at or (self.thread is not None and self.thread.is_alive()):
                return
            self._due_at = time.monotonic() + EVERY_SECONDS
            self.thread = threading.Thread(target=_sweep_in_thread, name="housekeeping", daemon=True)
            self.thread.start()


def sweep() -> None:
    """Everything that is due, once."""
    sweeps.sweep_payments()
    finalize_drain.drain_finalize()
    reservations.release_expired()
    expire_credit_notes()
    owed_refunds.pay_out_owed()
    refunds.sweep()


def _sweep_in_thread() -> None:
    try:
        sweep()
    except (BillingError, DatabaseError, InterfaceError) as error:
        # The next sweep finds the same rows; the request that started this one has nothing to do with it.
        log.warning(names.HOUSEKEEPING_FAILED, reason=type(error).__name__)
    finally:
        connections.close_all()


_process = Housekeeping()
begin_if_due = _process.begin_if_due
