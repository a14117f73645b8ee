"""System checks of the payment side: what is wrong with the settings is said at start, with a number and a hint."""

from collections.abc import Sequence

from django.apps.config import AppConfig
from django.core.checks import CheckMessage, Error, register

from telemetry.configuration import loa
from x402.chain.network_settings import networks
from x402.protocol import quote_token

ZERO_ADDRESS = "0x" + "00" * 20


@register()
def check_networks(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Every network has an RPC endpoint, a recipient and at least one asset."""
    found: list[CheckMessage] = []
    try:
        configured = networks()
    except (KeyError, TypeError, ValueError) as error:
        return [Error(f"LOA['NETWORKS'] cannot be read: {error}", id="x402.E001", hint="See docs/reference/settings.")]
    if loa("DEFAULT_NETWORK") not in configured:
        found.append(
            Error("LOA['DEFAULT_NETWORK'] is not in LOA['NETWORKS'].", id="x402.E002", hint="Name a CAIP-2 network.")
        )
    for network in configured.values():
        if not network.rpc_urls:
            found.append(Error(f"{network.caip2} has no rpc_urls.", id="x402.E003", hint="Set RPC_URL."))
        if not network.pay_to or network.pay_to == ZERO_ADDRESS:
            found.append(Error(f"{network.caip2} has no pay_to.", id="x402.E004", hint="Set LOA_PAY_TO."))
    return found


@register()
def check_keys(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """The keys that sign quotes and seal answers are there, and crash points are not, outside tests."""
    found: list[CheckMessage] = []
    active = loa("QUOTE_KEY_ACTIVE")
    if active not in loa("QUOTE_KEYS"):
        found.append(
            Error("LOA['QUOTE_KEY_ACTIVE'] is not in LOA['QUOTE_KEYS'].", id="x402.E005", hint="Set LOA_QUOTE_KEYS.")
        )
    for key_id, secret in loa("QUOTE_KEYS").items():
        if len(secret) < quote_token.MINIMUM_SECRET_CHARACTERS:
            found.append(Error(f"Quote key {key_id!r} is too short.", id="x402.E006", hint="Use 32 random bytes."))
    if not loa("ANSWER_ENCRYPTION_KEY"):
        found.append(
            Error("LOA['ANSWER_ENCRYPTION_KEY'] is empty.", id="x402.E007", hint="Set LOA_ANSWER_ENCRYPTION_KEY.")
        )
    if loa("CRASH_POINTS") and loa("ENVIRONMENT") == "production":
        found.append(Error("Crash points are for tests.", id="x402.E008", hint="Unset LOA_CRASH_POINTS."))
    return found


@register()
def check_package_name(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """The official SDK on PyPI has the same import name; installed beside this one, import order would decide."""
    import importlib.metadata

    try:
        importlib.metadata.distribution("x402")
    except importlib.metadata.PackageNotFoundError:
        return []
    return [
        Error(
            "The PyPI package x402 is installed in this environment and has the same import name as Loa's x402 app.",
            id="x402.E009",
            hint="Use an environment of its own for the official SDK.",
        )
    ]
