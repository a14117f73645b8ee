"""Periodic work of accounts, each a thin wrapper over a service."""

from celery import shared_task

from accounts.services import nonces, sessions


@shared_task(name="accounts.sweep")
def sweep() -> dict[str, int]:
    """Forget used nonces and sessions that have ended; runs every few minutes and may run twice."""
    return {"nonces": nonces.sweep(), "sessions": sessions.sweep()}


BEAT_SCHEDULE = {"accounts-sweep": {"task": "accounts.sweep", "schedule": 300.0}}
