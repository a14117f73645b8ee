"""Signed-in sessions, and the nonces that were used up: a secret is stored as its hash only."""

from django.db import models

from accounts.models.account import Account
from telemetry.identifiers import ID_LENGTH_MAX, new_id


def new_session_id() -> str:
    """A fresh `ses_…` id."""
    return new_id("ses")


class Session(models.Model):
    """One pair of tokens. A refresh replaces the pair by a new row of the same family."""

    id = models.CharField(max_length=ID_LENGTH_MAX, primary_key=True, default=new_session_id, editable=False)
    family = models.CharField(max_length=ID_LENGTH_MAX, db_index=True, help_text="id of the sign-in it began with")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="sessions")
    wallet = models.CharField(max_length=42, help_text="the wallet that signed in")
    token_hash = models.CharField(max_length=64, unique=True)
    refresh_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    refresh_expires_at = models.DateTimeField(db_index=True)
    refreshed_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "session"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.id


class UsedNonce(models.Model):
    """A sign-in nonce that has served. Its primary key is what makes a nonce single use; expired rows are swept."""

    nonce = models.CharField(max_length=64, primary_key=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "used nonce"

    def __str__(self) -> str:
        return f"nonce until {self.expires_at:%Y-%m-%d %H:%M}"
