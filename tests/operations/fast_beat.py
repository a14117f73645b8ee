"""The site's Celery with what it watches each minute watched each second, so that a test need not wait for minutes."""

from loa_site.celery import application

application.finalize()
application.conf.beat_schedule = {
    name: {"task": name, "schedule": seconds, "options": {"expires": seconds}}
    for name, seconds in {"loa_site.observe": 1.0, "x402.watch_gas": 5.0, "billing.verify_ledger": 15.0}.items()
}
