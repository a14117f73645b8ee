"""One comparison of the treasury on the chain with the books, and what it found. Written once, read by staff."""

from typing import ClassVar

from django.db import models


class Reconciliation(models.Model):
    """`figures` by network; `differences` is the list a person must look at, empty when chain and books agree.

    `to_blocks` says how far each network was compared, where the next comparison goes on from.
    """

    applied = models.BooleanField()
    figures = models.JSONField(default=dict)
    differences = models.JSONField(default=list)
    difference_count = models.IntegerField(default=0)
    to_blocks = models.JSONField(default=dict)
    seconds = models.FloatField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["-created_at"], name="x402_reconciliation_newest")]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M}: {self.difference_count} differences"
