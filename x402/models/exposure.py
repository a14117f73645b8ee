"""What a payer may still cost us before the money is final."""

from typing import ClassVar

from django.db import models


class Exposure(models.Model):
    """What a payer may still cost us: one row per payer and asset, and one with an empty payer for all of an asset.

    The payer's row is locked by every new payment, so that the outstanding maxima of one payer are seen one after
    another (R12). `outstanding_micro_usdc` counts answers that were released before their money was final (R27).
    """

    network = models.CharField(max_length=64)
    asset = models.CharField(max_length=42)
    payer = models.CharField(max_length=42, blank=True)
    outstanding_micro_usdc = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["network", "asset", "payer"], name="x402_exposure_one_row_per_payer"),
            models.CheckConstraint(
                condition=models.Q(outstanding_micro_usdc__gte=0), name="x402_exposure_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.payer or 'all'} on {self.network}"
