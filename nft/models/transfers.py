"""How far the transfers of a watched collection have been read."""

from typing import ClassVar

from django.db import models

from nft.models.personality import ADDRESS_LENGTH, CHAIN_LENGTH_MAX


class TransferCursor(models.Model):
    """`block_hash` is that of the block before `next_block`: when the chain has another one there, it was re-organised.

    `recent` holds the transfers of the last blocks, [block, from, to, token id], because those of a block that is gone
    can be asked of no node any more.
    """

    chain = models.CharField(max_length=CHAIN_LENGTH_MAX)
    collection = models.CharField(max_length=ADDRESS_LENGTH)
    next_block = models.BigIntegerField()
    block_hash = models.CharField(max_length=66)
    recent = models.JSONField(default=list)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["chain", "collection"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["chain", "collection"], name="nft_one_cursor_a_collection")
        ]

    def __str__(self) -> str:
        return f"{self.chain} {self.collection} to {self.next_block}"
