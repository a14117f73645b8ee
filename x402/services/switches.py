"""What staff have switched off is not begun; what was begun before goes on to its end (R19)."""

from accounts.services import feature_flags
from x402.protocol.errors import UnpriceableRequest


def require_on(*features: str, subject: str) -> None:
    """Refuse to begin something that needs these features while one is off for this payer or client.

    Raises UnpriceableRequest, which answers 503 `feature_disabled`: nothing was taken, and it may be on again.
    """
    for feature in features:
        if not feature_flags.is_enabled(feature, subject=subject):
            raise UnpriceableRequest("feature_disabled", f"The feature {feature} is switched off at present.")
