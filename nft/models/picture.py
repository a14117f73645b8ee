"""Pictures of tokens as we fetched them, so that no visitor's browser asks a stranger's server."""

from typing import ClassVar

from django.db import models

from nft.domain.tokens import TOKEN_ID_DIGITS_MAX
from nft.models.personality import ADDRESS_LENGTH, CHAIN_LENGTH_MAX


class TokenPicture(models.Model):
    """A cache: any row may be deleted at any time. An empty `body` says that there was no picture, and `reason` why."""

    chain = models.CharField(max_length=CHAIN_LENGTH_MAX)
    collection = models.CharField(max_length=ADDRESS_LENGTH)
    token_id = models.CharField(max_length=TOKEN_ID_DIGITS_MAX)
    media_type = models.CharField(max_length=20, blank=True)
    body = models.BinaryField(blank=True)
    digest = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=120, blank=True)
    fetched_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering: ClassVar = ["-fetched_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["chain", "collection", "token_id"], name="nft_one_picture_a_token")
        ]

    def __str__(self) -> str:
        return f"{self.collection} #{self.token_id}"
