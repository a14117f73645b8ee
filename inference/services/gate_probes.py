"""Evidence for the gates about what `inference` offers."""

from inference.services import own_keys, secret_box
from inference.services.own_keys import OwnKeyError

CANARY = "gate-canary-key"


class NotWorking(RuntimeError):
    """Raised when keys of buyers cannot be judged or kept."""


def byok_validation() -> dict[str, object]:
    """A provider that does not exist is refused, and a secret comes back from being sealed. Asks nobody outside.

    Raises NotWorking.
    """
    try:
        own_keys.is_valid("no-such-provider", CANARY)
    except OwnKeyError as refused:
        code = refused.code
    else:
        raise NotWorking("a provider that does not exist was asked about a key")
    sealed = secret_box.seal(CANARY, context="gate")
    if CANARY.encode() in sealed or secret_box.unseal(sealed, context="gate") != CANARY:
        raise NotWorking("a secret did not come back from being sealed")
    return {"unknown_provider": code, "sealed_bytes": len(sealed)}
