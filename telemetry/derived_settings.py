"""Settings that follow from others, so that a small project names four things and not twenty.

What a project sets itself always wins. Without keys of its own, quotes are signed and answers sealed by keys computed
from `SECRET_KEY`, one purpose each, so that knowing one tells nothing of another; `SECRET_KEY_FALLBACKS` keep quotes of
a moment ago good. A deployment gets a warning (x402.W003), because then one secret guards everything.
A network that Loa knows needs only `RPC_URL` and `PAY_TO`, and a remote facilitator only `FACILITATOR_URL`.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

from telemetry import networks

REMOTE_FACILITATOR: Final = "x402.facilitators.remote.RemoteFacilitator"
DIRECT_FACILITATOR: Final = "x402.facilitators.direct.DirectFacilitator"
KEY_ID_CHARACTERS: Final = 8

Configured = Mapping[str, Any]


def derived_setting(name: str, configured: Configured) -> object | None:
    """What the other settings say `name` is; None when they say nothing, or it is set and complete."""
    rule = _RULES.get(name)
    return rule(configured) if rule else None


def _networks(configured: Configured) -> object | None:
    written: Mapping[str, Mapping[str, Any]] = configured.get("NETWORKS") or {}
    if not isinstance(written, Mapping):
        return None
    chosen = configured.get("DEFAULT_NETWORK") or networks.BASE_SEPOLIA
    if not written and chosen in networks.KNOWN and configured.get("RPC_URL"):
        pay_to = configured.get("PAY_TO", "")
        return {chosen: networks.network(chosen, rpc_urls=[configured["RPC_URL"]], pay_to=pay_to)}
    return {caip2: networks.completed(caip2, facts) for caip2, facts in written.items()}


def _quote_keys(configured: Configured) -> object | None:
    if configured.get("QUOTE_KEYS"):
        return None
    secrets = [_derived_key(root, "quotes") for root in _roots()]
    return {_key_id(secret): secret for secret in secrets}


def _active_quote_key(configured: Configured) -> object | None:
    if configured.get("QUOTE_KEY_ACTIVE"):
        return None
    written = configured.get("QUOTE_KEYS")
    if not written:
        return _key_id(_derived_key(_roots()[0], "quotes"))
    return next(iter(written)) if isinstance(written, Mapping) and len(written) == 1 else None


def _key_for(name: str, purpose: str) -> Callable[[Configured], object | None]:
    def rule(configured: Configured) -> object | None:
        return None if configured.get(name) else _derived_key(_roots()[0], purpose)

    return rule


def _receipt_key(configured: Configured) -> object | None:
    """Receipts are signed by the relayer's key; a project without a relayer still signs them."""
    if configured.get("RECEIPT_KEY") or configured.get("RELAYER_PRIVATE_KEY"):
        return None
    return "0x" + _derived_key(_roots()[0], "receipts")


def _facilitators(configured: Configured) -> object | None:
    if configured.get("FACILITATORS") or not configured.get("FACILITATOR_URL"):
        return None
    with_relayer = (DIRECT_FACILITATOR,) if configured.get("RELAYER_PRIVATE_KEY") else ()
    return (REMOTE_FACILITATOR, *with_relayer)


def _roots() -> list[str]:
    from django.conf import settings

    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def _derived_key(root: str, purpose: str) -> str:
    """32 bytes in hex for one purpose; HMAC is a pseudo-random function, so keys of two purposes are unrelated."""
    return hmac.new(root.encode(), f"loa/{purpose}/1".encode(), hashlib.sha256).hexdigest()


def _key_id(secret: str) -> str:
    return "d" + hashlib.sha256(secret.encode()).hexdigest()[: KEY_ID_CHARACTERS - 1]


_RULES: Final[Mapping[str, Callable[[Configured], object | None]]] = {
    "NETWORKS": _networks,
    "QUOTE_KEYS": _quote_keys,
    "QUOTE_KEY_ACTIVE": _active_quote_key,
    "ANSWER_ENCRYPTION_KEY": _key_for("ANSWER_ENCRYPTION_KEY", "answers"),
    "API_KEY_PEPPER": _key_for("API_KEY_PEPPER", "api-keys"),
    "OWN_KEY_ENCRYPTION": _key_for("OWN_KEY_ENCRYPTION", "own-keys"),
    "WEBHOOK_KEY": _key_for("WEBHOOK_KEY", "webhooks"),
    "RECEIPT_KEY": _receipt_key,
    "FACILITATORS": _facilitators,
}
