"""Waking a worker after a commit, by the name of its task. A lost wake-up costs time and nothing else.

Rows say what is due and sweeps find it, so a broker that cannot be reached is left alone for a while and never fails
the work that was committed. Wake-ups that follow each other closely are one: the first has not been taken yet.
"""

import threading
import time
from typing import Final

from celery import current_app
from celery.exceptions import OperationalError

from telemetry import names
from telemetry.logging import get_logger

log = get_logger(__name__)

DRAIN_FINALIZE: Final = "billing.drain_finalize"
DELIVER_WEBHOOKS: Final = "billing.deliver_webhooks"
RUN_BULK: Final = "billing.run_bulk_decisions"

TOGETHER_SECONDS: Final = 0.1
REST_SECONDS: Final = 5.0
EXPIRES_SECONDS: Final = 60  # by then the sweep has done what the wake-up asked for


class _Sent:
    """When each wake-up was last sent by this process, and until when the broker is left alone."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at: dict[tuple[str, int], float] = {}
        self.resting_until = 0.0


_sent = _Sent()


def wake(task: str, *, after_seconds: float = 0.0) -> bool:
    """Ask a worker to run `task`, now or after some seconds; whether the broker took the request.

    Call it from on_commit. Never raises: what it asks for is done by the sweep if not before.
    """
    now, slot = time.monotonic(), (task, round(after_seconds))
    with _sent.lock:
        if now < _sent.resting_until or now - _sent.at.get(slot, 0.0) < TOGETHER_SECONDS:
            return False
        _sent.at[slot] = now
    try:
        current_app.send_task(
            task, countdown=after_seconds or None, expires=EXPIRES_SECONDS + after_seconds, retry=False
        )
    except (OperationalError, OSError) as error:
        with _sent.lock:
            _sent.resting_until = time.monotonic() + REST_SECONDS
        log.warning(names.WAKE_UP_FAILED, task=task, error=type(error).__name__)
        return False
    return True
