"""System checks of the site as a whole: settings that are known, keys that are secret, an origin that is safe.

`loa.E002` names keys that anyone can compute, `loa.E003` a public origin without HTTPS; both concern deployments only.
`loa.E001`, settings that do not exist or have the wrong kind, is the library's own (`telemetry.checks`).
"""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from loa_site.local import wallets
from telemetry.configuration import loa

ENVIRONMENTS_OF_ONE_MACHINE = frozenset({"local", "test", "development"})


def register_all() -> None:
    """Make the checks known to Django."""
    for check in (keys_are_not_public, origin_is_safe):
        register(check, "loa")


def keys_are_not_public(**_kwargs: Any) -> list[CheckMessage]:
    """A deployment uses neither the local stack's wallets nor those of well-known development mnemonics."""
    if loa("ENVIRONMENT") in ENVIRONMENTS_OF_ONE_MACHINE:
        return []
    problems: list[CheckMessage] = []
    if wallets.is_public_key(loa("RELAYER_PRIVATE_KEY")):
        problems.append(_public("LOA_RELAYER_PRIVATE_KEY"))
    if loa("REFUND_PRIVATE_KEY") and wallets.is_public_key(loa("REFUND_PRIVATE_KEY")):
        problems.append(_public("LOA_REFUND_PRIVATE_KEY"))
    if any(wallets.is_public_address(network["pay_to"]) for network in loa("NETWORKS").values()):
        problems.append(_public("LOA_PAY_TO"))
    return problems


def origin_is_safe(**_kwargs: Any) -> list[CheckMessage]:
    """A deployment is reached by HTTPS: terms, sign-in and receipts all name its origin."""
    if loa("ENVIRONMENT") in ENVIRONMENTS_OF_ONE_MACHINE or loa("PUBLIC_ORIGIN").startswith("https://"):
        return []
    return [Error("LOA_PUBLIC_ORIGIN must begin with https://.", hint="https://pay.example.com", id="loa.E003")]


def _public(variable: str) -> CheckMessage:
    return Error(
        f"{variable} belongs to a wallet whose private key anyone can compute.",
        hint="Make a key of your own; money sent to a public one is gone at once.",
        id="loa.E002",
    )
