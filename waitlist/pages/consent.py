"""Which text somebody agreed to. A change of the text is a new version; old entries keep the one they saw."""

from typing import Final

CONSENT_VERSION: Final = "2026-11"
