"""Rows of the holders' side."""

from nft.models.onboarding import OnboardingSession
from nft.models.personality import Personality, PersonalityVersion

__all__ = ["OnboardingSession", "Personality", "PersonalityVersion"]
