"""Periodic work of the holders' side, each a thin wrapper over services."""

from celery import shared_task

from nft.services import onboarding, pictures, transfer_polling


@shared_task(name="nft.poll_transfers")
def poll_transfers() -> dict[str, int]:
    """Read what moved in the watched collections; may run twice at once."""
    done, failed = transfer_polling.poll()
    return {"transfers": sum(one.transfers for one in done), "failed": len(failed)}


@shared_task(name="nft.fetch_pictures")
def fetch_pictures() -> int:
    """Fetch pictures of tokens that have an agent, so that pages show them without asking a stranger first."""
    return pictures.fetch_for_agents()


@shared_task(name="nft.sweep")
def sweep() -> dict[str, int]:
    """End onboardings that were left alone and forget old pictures."""
    return onboarding.sweep() | {"pictures": pictures.sweep()}


BEAT_SCHEDULE = {
    "nft-poll-transfers": {"task": "nft.poll_transfers", "schedule": 15.0},
    "nft-fetch-pictures": {"task": "nft.fetch_pictures", "schedule": 60.0},
    "nft-sweep": {"task": "nft.sweep", "schedule": 600.0},
}
