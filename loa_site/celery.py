"""Celery for Loa: two queues, settlement and default, with tasks and their rhythm found in each app's `tasks.py`.

Tasks are thin: the rows in Postgres say what is due, a task only wakes the service that drains it. A module of tasks
may say how often they run by a dictionary `BEAT_SCHEDULE`, in Celery's own form.

A message carries the correlation id and the trace of whoever sent it, so that a log line and a span of the worker can
be joined to those of the request. Names of tasks stay what they are for at least one release: a queue may hold messages
of the release before (`tests/workers/task_names.json`).
"""

import importlib.util
import os
from collections.abc import MutableMapping
from contextlib import ExitStack
from typing import Any, Final

from celery import Celery
from celery.signals import (
    beat_init,
    before_task_publish,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_shutdown,
    worker_ready,
)
from django.core.exceptions import ImproperlyConfigured

from telemetry import tracing
from telemetry.correlation import correlated, correlation_id
from telemetry.propagation import carrier_of

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loa_site.settings.development")

CORRELATION_HEADER: Final = "loa_correlation_id"

_open_contexts: dict[str, ExitStack] = {}

application = Celery("loa")
application.config_from_object("django.conf:settings", namespace="CELERY")
application.autodiscover_tasks()


@application.on_after_finalize.connect
def collect_schedules(sender: Celery, **_signal: Any) -> None:
    """Give beat what the apps ask for."""
    from django.conf import settings

    schedule: dict[str, Any] = {}
    for name in [*settings.OUR_APPS, "loa_site"]:
        if importlib.util.find_spec(f"{name}.tasks") is not None:
            schedule |= getattr(importlib.import_module(f"{name}.tasks"), "BEAT_SCHEDULE", {})
    # A wish of beat that no worker took is not kept beside the next one: an outage ends without a pile of them.
    sender.conf.beat_schedule = {
        name: {**entry, "options": {"expires": entry["schedule"], **entry.get("options", {})}}
        for name, entry in schedule.items()
    }


@before_task_publish.connect
def carry_context(headers: MutableMapping[str, Any] | None = None, **_signal: Any) -> None:
    """Put the sender's correlation id and trace into a message."""
    if headers is None:
        return
    if correlation_id():
        headers[CORRELATION_HEADER] = correlation_id()
    headers.update(tracing.inject_context())


@task_prerun.connect
def enter_context(task_id: str, task: Any, **_signal: Any) -> None:
    """Run a task under the correlation id and in the trace of whoever sent its message; a task of beat gets its own."""
    received = {name: str(value) for name, value in (getattr(task.request, "headers", None) or {}).items()}
    opened = ExitStack()
    opened.enter_context(correlated(received.get(CORRELATION_HEADER, "")))
    opened.enter_context(tracing.following(carrier_of(received)))
    _open_contexts[task_id] = opened


@task_postrun.connect
def leave_context(task_id: str, **_signal: Any) -> None:
    """Whatever came of the task, the next one begins without its context."""
    opened = _open_contexts.pop(task_id, None)
    if opened is not None:
        opened.close()


@worker_init.connect
@beat_init.connect
def refuse_wrong_settings(**_signal: Any) -> None:
    """A worker or beat of a deployment starts only where the web server would; Celery swallows what is no exit."""
    from loa_site.start import require_no_errors

    try:
        require_no_errors()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from error


@worker_ready.connect
def answer_scrapes(**_signal: Any) -> None:
    """A worker tells its figures on a port of its own, when the settings name one."""
    from django.conf import settings

    from telemetry import multiprocess

    if settings.WORKER_METRICS_PORT:
        multiprocess.serve(settings.WORKER_METRICS_PORT, settings.WORKER_METRICS_HOST)


@worker_process_shutdown.connect
def send_last_spans(**_signal: Any) -> None:
    """A worker's child ends without the interpreter's exit: what it still has to tell the collector is sent now."""
    tracing.shutdown_tracing()


@setup_logging.connect
def keep_the_sites_logging(**_signal: Any) -> None:
    """Being connected is enough: Celery then leaves logging as the settings made it."""
