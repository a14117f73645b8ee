"""Celery for Loa: two queues, settlement and default, with their tasks found in each app's `tasks.py`.

Tasks are thin: the rows in Postgres say what is due, a task only wakes the service that drains it.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loa_site.settings.development")

application = Celery("loa")
application.config_from_object("django.conf:settings", namespace="CELERY")
application.autodiscover_tasks()
