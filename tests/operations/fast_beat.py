"""The site's Celery with a heartbeat each second instead of each minute, so that a test need not wait for minutes."""

from loa_site.celery import application

application.finalize()
application.conf.beat_schedule = {"site-observe": {"task": "loa_site.observe", "schedule": 1.0}}
