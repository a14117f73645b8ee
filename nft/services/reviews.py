"""What staff decide about a holder's words: that they may stand, that they are withdrawn, or that older ones come back.

Each is one transaction, of the caller's when there is one; who decided and why is written down beside it by whoever
offers the act. The agent goes on speaking in its voice; see `domain.review` for what is used when.
"""

from django.db import transaction

from nft.domain.errors import VersionNotFound
from nft.domain.review import Review
from nft.models import Personality, PersonalityVersion
from nft.services.personalities import restore
from telemetry import names
from telemetry.logging import get_logger

log = get_logger(__name__)


def approve(personality_id: str) -> None:
    """Let the words of now be used. Locks the personality."""
    _decide(personality_id, Review.CLEAR)


def withdraw(personality_id: str) -> None:
    """Use the words no more; what the holder writes next waits for a yes. Locks the personality."""
    _decide(personality_id, Review.WITHDRAWN)


def bring_back_the_version_before(personality_id: str) -> int:
    """Restore what stood before the newest version, as a new one; its number. Locks the personality.

    The wallet that wrote it is named as its writer. Raises VersionNotFound when there was none.
    """
    with transaction.atomic():
        row = Personality.objects.select_for_update().get(pk=personality_id)
        before: PersonalityVersion | None = row.versions.filter(number__lt=row.version).order_by("-number").first()
        if before is None:
            raise VersionNotFound("There was no version before this one.")
        return restore(row, before, wallet=before.written_by).version


def _decide(personality_id: str, review: Review) -> None:
    with transaction.atomic():
        row = Personality.objects.select_for_update().get(pk=personality_id)
        row.review = review.value
        row.save(update_fields=["review"])
        log.info(names.PERSONALITY_REVIEWED, personality_id=row.pk, review=row.review, version=row.version)
