"""The personality of a token's agent, and every version it ever had.

A token has one at most: unique by chain, collection in lower case and token id as text. Versions are only added.
"""

from typing import ClassVar

from django.db import models

from nft.domain.personality import DOMAINS_MAX, NAME_LENGTH_MAX, Traits, Voice, default_name
from nft.domain.review import WORDS_USED, Review
from nft.domain.tokens import TOKEN_ID_DIGITS_MAX
from telemetry.identifiers import ID_LENGTH_MAX, new_id

CHAIN_LENGTH_MAX = 25
ADDRESS_LENGTH = 42
DECIMAL = r"^(0|[1-9][0-9]{0,77})$"


def new_personality_id() -> str:
    """A fresh `per_…` id."""
    return new_id("per")


class WrittenTraits(models.Model):
    """What a personality says, wherever it is kept."""

    name = models.CharField(max_length=NAME_LENGTH_MAX)
    voice = models.CharField(max_length=12, choices=[(voice.value, voice.value) for voice in Voice])
    expertise_domains = models.JSONField(default=list, help_text=f"At most {DOMAINS_MAX} texts.")
    custom_instructions = models.TextField(blank=True)
    written_by = models.CharField(
        max_length=ADDRESS_LENGTH, help_text="The wallet that wrote it: the owner, or one the owner let act."
    )

    class Meta:
        abstract = True

    @property
    def traits(self) -> Traits:
        """As the domain sees it."""
        return Traits(self.name, Voice(self.voice), tuple(self.expertise_domains), self.custom_instructions)


class Personality(WrittenTraits):
    """The agent of one token, as it is now. `version` guards against lost updates."""

    id = models.CharField(max_length=ID_LENGTH_MAX, primary_key=True, default=new_personality_id, editable=False)
    chain = models.CharField(max_length=CHAIN_LENGTH_MAX)
    collection = models.CharField(max_length=ADDRESS_LENGTH)
    token_id = models.CharField(max_length=TOKEN_ID_DIGITS_MAX)
    version = models.PositiveIntegerField(default=1)
    review = models.CharField(
        max_length=10, choices=[(state.value, state.value) for state in Review], default=Review.CLEAR.value
    )
    handed_to = models.CharField(
        max_length=ADDRESS_LENGTH, blank=True, help_text="The owner after the last transfer that was seen."
    )
    handed_over_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "personalities"
        permissions: ClassVar = [
            ("review_personality", "Can approve and withdraw a holder's words"),
            ("restore_personality", "Can bring an earlier version back"),
        ]
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["chain", "collection", "token_id"], name="nft_one_personality_a_token"),
            models.CheckConstraint(
                condition=models.Q(collection__regex=r"^0x[0-9a-f]{40}$"), name="nft_personality_collection_spelling"
            ),
            models.CheckConstraint(condition=models.Q(token_id__regex=DECIMAL), name="nft_personality_token_spelling"),
            models.CheckConstraint(
                condition=models.Q(voice__in=[voice.value for voice in Voice]), name="nft_personality_voice"
            ),
            models.CheckConstraint(
                condition=models.Q(review__in=[state.value for state in Review]), name="nft_personality_review"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def spoken(self) -> Traits:
        """What is shown and said of it: without the holder's own words while staff have withdrawn them."""
        if self.review in WORDS_USED:
            return self.traits
        return Traits(default_name(self.token_id), Voice(self.voice))


class PersonalityVersion(WrittenTraits):
    """A personality as it was written once. `restored_from` names the version a rollback brought back."""

    personality = models.ForeignKey(Personality, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    restored_from = models.PositiveIntegerField(null=True)
    written_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["personality", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["personality", "number"], name="nft_personality_version_once")
        ]

    def __str__(self) -> str:
        return f"{self.personality_id} version {self.number}"
