"""How far a holder has come in the wizard. One unfinished session a wallet, so that starting again is resuming."""

import secrets
from typing import ClassVar

from django.db import models
from django.db.models import Q

from nft.domain.onboarding import Step
from nft.domain.tokens import TOKEN_ID_DIGITS_MAX
from nft.models.personality import ADDRESS_LENGTH, CHAIN_LENGTH_MAX
from telemetry.identifiers import ID_LENGTH_MAX, base62

SESSION_ID_BITS = 128
SESSION_ID_DIGITS = 22


def new_session_id() -> str:
    """A fresh `onb_…` id that nobody can guess."""
    return "onb_" + base62(secrets.randbits(SESSION_ID_BITS), digits=SESSION_ID_DIGITS)


class OnboardingSession(models.Model):
    """One holder's way from the wallet to a living agent. `version` guards against lost updates.

    Whether there is credit is no column: the ledger says so.
    """

    id = models.CharField(max_length=ID_LENGTH_MAX, primary_key=True, default=new_session_id, editable=False)
    account_id = models.CharField(max_length=ID_LENGTH_MAX)
    wallet = models.CharField(max_length=ADDRESS_LENGTH)
    step = models.CharField(
        max_length=20, choices=[(step.value, step.value) for step in Step], default=Step.DETECT.value
    )
    version = models.PositiveIntegerField(default=1)
    found_tokens = models.JSONField(default=list, help_text="What the last scan found; shown, never believed.")
    chain = models.CharField(max_length=CHAIN_LENGTH_MAX, blank=True)
    collection = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    token_id = models.CharField(max_length=TOKEN_ID_DIGITS_MAX, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    completed_at = models.DateTimeField(null=True)
    expired_at = models.DateTimeField(null=True, help_text="When it was ended because nobody went on with it.")

    class Meta:
        verbose_name = "onboarding"
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            models.Index(
                fields=["updated_at"],
                condition=Q(completed_at=None, expired_at=None),
                name="nft_onboarding_by_change",
            ),
            models.Index(fields=["chain", "collection", "token_id"], name="nft_onboarding_of_token"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account_id", "wallet"],
                condition=Q(completed_at=None, expired_at=None),
                name="nft_one_open_onboarding",
            ),
        ]

    def __str__(self) -> str:
        return self.id
