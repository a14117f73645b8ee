"""Celery for Loa: two queues, settlement and default, with tasks and their rhythm found in each app's `tasks.py`.

Tasks are thin: the rows in Postgres say what is due, a task only wakes the service that drains it. A module of tasks
may say how often they run by a dictionary `BEAT_SCHEDULE`, in Celery's own form.
"""

import importlib.util
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loa_site.settings.development")

application = Celery("loa")
application.config_from_object("django.conf:settings", namespace="CELERY")
application.autodiscover_tasks()


@application.on_after_finalize.connect
def collect_schedules(sender: Celery, **_signal: Any) -> None:
    """Give beat what the apps ask for."""
    from django.conf import settings

    schedule: dict[str, Any] = {}
    for name in settings.OUR_APPS:
        if importlib.util.find_spec(f"{name}.tasks") is not None:
            schedule |= getattr(importlib.import_module(f"{name}.tasks"), "BEAT_SCHEDULE", {})
    sender.conf.beat_schedule = schedule


@setup_logging.connect
def keep_the_sites_logging(**_signal: Any) -> None:
    """Being connected is enough: Celery then leaves logging as the settings made it."""
