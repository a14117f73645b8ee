"""Periodic work of accounts, each a thin wrapper over a service."""

from celery import shared_task

from accounts.services import api_keys, nonces, sessions


@shared_task(name="accounts.sweep")
def sweep() -> dict[str, int]:
    """Forget used nonces, sessions that have ended and old use of keys; runs every few minutes and may run twice."""
    return {"nonces": nonces.sweep(), "sessions": sessions.sweep(), "key_uses": api_keys.sweep()}


BEAT_SCHEDULE = {"accounts-sweep": {"task": "accounts.sweep", "schedule": 300.0}}
