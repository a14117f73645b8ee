"""Personalities and their versions, by token."""

from dataclasses import dataclass

from nft.models import Personality, PersonalityVersion

VERSIONS_SHOWN = 100
FIELDS = ("name", "voice", "expertise_domains", "custom_instructions")


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs between two versions."""

    field: str
    before: object
    after: object


def get(chain: str, collection: str, token_id: str) -> Personality | None:
    """The personality of a token in its one spelling, or None. An error of the store is raised, never None."""
    return Personality.objects.filter(chain=chain, collection=collection, token_id=token_id).first()


def versions_of(personality: Personality) -> list[PersonalityVersion]:
    """Newest first, at most a hundred."""
    return list(personality.versions.order_by("-number")[:VERSIONS_SHOWN])


def version_of(personality: Personality, number: int) -> PersonalityVersion | None:
    """One version, or None."""
    return personality.versions.filter(number=number).first()


def changes_between(before: PersonalityVersion, after: PersonalityVersion) -> list[Change]:
    """The fields that differ."""
    pairs = [(field, getattr(before, field), getattr(after, field)) for field in FIELDS]
    return [Change(field, old, new) for field, old, new in pairs if old != new]
