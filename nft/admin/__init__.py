"""Staff pages of the holders' side: agents with their versions and what waits to be looked at, and onboardings."""

from nft.admin.onboardings import OnboardingSessionAdmin
from nft.admin.personalities import PersonalityAdmin

__all__ = ["OnboardingSessionAdmin", "PersonalityAdmin"]
