"""Periodic work of the waitlist, each a thin wrapper over services. Runs when woken, and by the clock."""

from celery import shared_task

from waitlist.services import answer_requests, invitations, mails, retention


@shared_task(name="waitlist.work")
def work() -> dict[str, int]:
    """Answer requests, fill invitation batches, send mail. May run twice at once: rows are taken with SKIP LOCKED."""
    return {
        "answered": answer_requests.answer_requests(),
        "invited": invitations.fill_batches(),
        "delivered": mails.deliver_mails(),
    }


@shared_task(name="waitlist.forget")
def forget() -> dict[str, int]:
    """Delete what is past its time."""
    return retention.forget_the_old()


BEAT_SCHEDULE = {
    "waitlist-work": {"task": "waitlist.work", "schedule": 15.0},
    "waitlist-forget": {"task": "waitlist.forget", "schedule": 3600.0},
}
