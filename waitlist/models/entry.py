"""One person on the list, known by a mailbox or by a wallet."""

import secrets

from django.db import models

from telemetry.identifiers import ID_LENGTH_MAX, base62, new_id

REFERRAL_BITS = 56
REFERRAL_DIGITS = 10


def new_entry_id() -> str:
    """A fresh `wle_…` id."""
    return new_id("wle")


def new_referral_code() -> str:
    """A code to hand to friends: 56 random bits, so that codes cannot be walked through."""
    return base62(secrets.randbits(REFERRAL_BITS), digits=REFERRAL_DIGITS)


class EntryState(models.TextChoices):
    """Where somebody stands."""

    PENDING = "pending", "asked, not confirmed"
    WAITING = "waiting", "confirmed and waiting"
    INVITED = "invited", "invited"
    ACCEPTED = "accepted", "came in"
    LEFT = "left", "left the list"


class Entry(models.Model):
    """Exactly one of `email` and `wallet` is set. Erasing somebody deletes the row."""

    id = models.CharField(max_length=ID_LENGTH_MAX, primary_key=True, default=new_entry_id, editable=False)
    state = models.CharField(max_length=12, choices=EntryState.choices, default=EntryState.PENDING)
    email = models.CharField(max_length=254, blank=True, help_text="the spelling that is written to")
    email_key = models.CharField(max_length=254, null=True, unique=True, help_text="recognises the mailbox")
    wallet = models.CharField(max_length=42, null=True, unique=True)
    language = models.CharField(max_length=8, default="en")
    consent_version = models.CharField(max_length=20)
    consented_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    invited_at = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField(null=True, blank=True)
    left_at = models.DateTimeField(null=True, blank=True)
    last_mail_at = models.DateTimeField(null=True, blank=True, help_text="for the cool-down")
    rank_at = models.DateTimeField(null=True, blank=True, help_text="the order; earlier is in front")
    referral_code = models.CharField(max_length=REFERRAL_DIGITS, unique=True, default=new_referral_code)
    referred_by = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="friends")
    friends_confirmed = models.PositiveIntegerField(default=0)
    link_number = models.PositiveIntegerField(default=0, help_text="using a single-use link counts it up")
    batch = models.ForeignKey(
        "waitlist.InviteBatch", null=True, blank=True, on_delete=models.SET_NULL, related_name="entries"
    )

    class Meta:
        verbose_name = "waitlist entry"
        verbose_name_plural = "waitlist entries"
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("state", "rank_at", "id"), name="waitlist_entry_order"),
            models.Index(fields=("state", "created_at", "id"), name="waitlist_entry_by_state"),
            models.Index(fields=("email",), condition=~models.Q(email=""), name="waitlist_entry_email"),
            models.Index(fields=("left_at",), condition=models.Q(state="left"), name="waitlist_entry_left"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(email_key__isnull=True) ^ models.Q(wallet__isnull=True),
                name="waitlist_entry_mailbox_or_wallet",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["pending", "left"]) | models.Q(rank_at__isnull=False),
                name="waitlist_entry_confirmed_has_place",
            ),
        )

    def __str__(self) -> str:
        return self.id
