"""A quote someone asked us to keep (`POST /api/v1/x402/quote`).

Quotes are self-contained signed tokens; an unpaid 402 writes nothing. This row exists only to look a quote up by its
id afterwards. The token itself is a secret of the payer's side (R1), so only its hash is kept.
"""

from typing import ClassVar

from django.db import models


class KeptQuote(models.Model):
    id = models.CharField(primary_key=True, max_length=40)
    token_hash = models.CharField(max_length=64)
    request_hash = models.CharField(max_length=64)
    request_method = models.CharField(max_length=8)
    request_path = models.CharField(max_length=512)
    description = models.CharField(max_length=200, blank=True, default="")
    max_cost_micro_usdc = models.BigIntegerField()
    price_version = models.IntegerField()
    wallet = models.CharField(max_length=42, blank=True, default="")
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["expires_at"], name="x402_quote_expiry"),
            models.Index(fields=["-created_at", "-id"], name="x402_quote_newest"),
        ]

    def __str__(self) -> str:
        return self.id
