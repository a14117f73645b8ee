"""Celery's thin wrappers around what the site does about itself."""

from celery import shared_task

from loa_site import observations

BEAT_SCHEDULE = {
    "site-observe": {"task": "loa_site.observe", "schedule": 60.0, "options": {"expires": 60}},
}


@shared_task(name="loa_site.observe")
def observe() -> int:
    """Write down the backlog, the circuit and the heartbeat; how many dead letters wait."""
    waiting: int = observations.observe()["dead_letters"]
    return waiting
