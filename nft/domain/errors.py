"""Why the holders' side refuses something. One class per answer, with the problem's stable code."""

from typing import ClassVar


class NftError(Exception):
    """Raised when something about tokens or agents is refused; `detail` may be shown to the caller."""

    code: ClassVar[str] = "invalid_request"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidToken(NftError):
    """Raised when a chain, collection, token id or wallet is not spelled as one."""

    code = "invalid_token"


class DetectionUnavailable(NftError):
    """Raised when nobody can say what a wallet owns just now. Not the same as owning nothing."""

    code = "detection_unavailable"

    def __init__(self, detail: str = "Which tokens the wallet owns cannot be found out just now.") -> None:
        super().__init__(detail)
        self.retry_after_seconds = 30


class DetectorFailed(Exception):
    """Raised by one detector when it has no answer: unreachable, over its limit, unreadable, or out of time."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CollectionUnknown(NftError):
    """Raised when a collection is none of those this site knows."""

    code = "collection_unknown"


class NotTheOwner(NftError):
    """Raised when the wallet does not own the token it chose."""

    code = "not_the_owner"


class OwnershipChanged(NftError):
    """Raised when the wallet owned the token before and does not now."""

    code = "ownership_changed"


class SeveralOwners(NftError):
    """Raised when an agent is asked for a token that several wallets may own at once (ERC-1155)."""

    code = "invalid_token"


class InvalidPersonality(NftError):
    """Raised when a personality's name, voice, domains or instructions are not acceptable."""

    code = "invalid_parameters"


class InstructionsRefused(NftError):
    """Raised when a holder's words are an attack rather than a style."""

    code = "instructions_refused"


class PersonalityNotFound(NftError):
    """Raised when a token has no personality yet."""

    code = "personality_not_found"


class PersonalityExists(NftError):
    """Raised when a personality is to be created and is there already."""

    code = "personality_exists"


class VersionNotFound(NftError):
    """Raised when a personality never had that version."""

    code = "version_not_found"


class VersionConflict(NftError):
    """Raised when something was changed since the caller read it: nothing is overwritten."""

    code = "version_conflict"


class OnboardingNotFound(NftError):
    """Raised when the account has no onboarding of that id; others' are not there either."""

    code = "onboarding_not_found"


class OnboardingExpired(NftError):
    """Raised when the caller's onboarding was ended because nobody went on with it."""

    code = "onboarding_expired"


class PictureMissing(NftError):
    """Raised when there is no picture of a token that may be shown."""

    code = "picture_not_found"


class WrongStep(NftError):
    """Raised when a step of the wizard is not to be done now."""

    code = "wrong_state"


class CreditMissing(NftError):
    """Raised when the ledger holds no credit for a holder who wants to go on with credit."""

    code = "insufficient_credit"
