"""The check of Celery's limits, `loa.E010`: no task may outlive the time after which its message is given to another.

A task that is acknowledged late keeps its message until it ends. When it ran longer than the visibility timeout, Redis
would give the message to a second worker while the first still works. Wake-ups with a delay beyond it would arrive
again and again for the same reason; the longest we use is the last backoff of a dead letter.
"""

from typing import Any

from celery import current_app
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from billing.domain.retries import BACKOFF_SECONDS, JITTER


def register_all() -> None:
    """Make the check known to Django."""
    register(tasks_end_in_time, "loa")


def tasks_end_in_time(**_kwargs: Any) -> list[CheckMessage]:
    """Every task that is acknowledged late has a hard limit below the visibility timeout, and a soft one below that."""
    visible = int(str(settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]))
    problems = []
    for name, task in sorted(current_app.tasks.items()):
        if name.startswith("celery."):
            continue
        hard = task.time_limit or settings.CELERY_TASK_TIME_LIMIT
        soft = task.soft_time_limit or settings.CELERY_TASK_SOFT_TIME_LIMIT
        if soft >= hard:
            problems.append(_error(f"{name}: the soft limit of {soft} s is not below the hard one of {hard} s."))
        if task.acks_late and hard >= visible:
            problems.append(_error(f"{name} may run for {hard} s, but its message comes again after {visible} s."))
    longest = BACKOFF_SECONDS[-1] * (1 + JITTER)
    if longest >= visible:
        problems.append(_error(f"A dead letter waits up to {longest} s, but a message comes again after {visible} s."))
    return list(problems)


def _error(sentence: str) -> CheckMessage:
    hint = "Raise visibility_timeout in CELERY_BROKER_TRANSPORT_OPTIONS, or lower the limit."
    return Error(sentence, hint=hint, id="loa.E010")
