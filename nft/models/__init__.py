"""Rows of the holders' side."""

from nft.models.onboarding import OnboardingSession
from nft.models.personality import Personality, PersonalityVersion
from nft.models.picture import TokenPicture
from nft.models.transfers import TransferCursor

__all__ = ["OnboardingSession", "Personality", "PersonalityVersion", "TokenPicture", "TransferCursor"]
