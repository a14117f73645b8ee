"""System checks of the site as a whole: settings that are known, keys that are secret, an origin that is safe.

`loa.E002` names keys that anyone can compute, `loa.E003` a public origin without HTTPS, `loa.E004` debugging,
`loa.E005` a `SECRET_KEY` that can be guessed, `loa.E006` test money beside real money, `loa.E007` a facilitator without
HTTPS. All concern deployments only.
`loa.E001`, settings that do not exist or have the wrong kind, is the library's own (`telemetry.checks`).
"""

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from loa_site.local import wallets
from telemetry import networks
from telemetry.configuration import loa

ENVIRONMENTS_OF_ONE_MACHINE = frozenset({"local", "test", "development"})
SECRET_KEY_CHARACTERS: Final = 50  # as many, and as many different ones, as Django's own deployment check wants
SECRET_KEY_DIFFERENT: Final = 5
UNSAFE_KEY_PREFIX: Final = "django-insecure-"
TEST_NETWORKS: Final = frozenset({networks.BASE_SEPOLIA})


def register_all() -> None:
    """Make the checks known to Django."""
    for check in (
        keys_are_not_public,
        origin_is_safe,
        debugging_is_off,
        secret_key_is_strong,
        money_is_of_one_kind,
        facilitator_is_safe,
    ):
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


def debugging_is_off(**_kwargs: Any) -> list[CheckMessage]:
    """A deployment shows strangers no settings and no source."""
    if loa("ENVIRONMENT") in ENVIRONMENTS_OF_ONE_MACHINE or not settings.DEBUG:
        return []
    return [Error("DEBUG is on.", hint="Unset DEBUG: error pages would show settings and source.", id="loa.E004")]


def secret_key_is_strong(**_kwargs: Any) -> list[CheckMessage]:
    """A deployment's SECRET_KEY cannot be guessed: sessions, and keys that are not set, follow from it."""
    key = settings.SECRET_KEY
    is_strong = len(key) >= SECRET_KEY_CHARACTERS and len(set(key)) >= SECRET_KEY_DIFFERENT
    if loa("ENVIRONMENT") in ENVIRONMENTS_OF_ONE_MACHINE or (is_strong and not key.startswith(UNSAFE_KEY_PREFIX)):
        return []
    hint = f"At least {SECRET_KEY_CHARACTERS} random characters."
    return [Error("SECRET_KEY is too short or too simple.", hint=hint, id="loa.E005")]


def money_is_of_one_kind(**_kwargs: Any) -> list[CheckMessage]:
    """A deployment takes test money or real money, never both, and no token of one kind on a chain of the other."""
    if loa("ENVIRONMENT") in ENVIRONMENTS_OF_ONE_MACHINE:
        return []
    configured = loa("NETWORKS")
    known = {caip2: caip2 in TEST_NETWORKS for caip2 in configured if caip2 in networks.KNOWN}
    problems: list[CheckMessage] = []
    if len(set(known.values())) > 1:
        hint = "Run a site for each: what test money buys here would cost real money to give."
        problems.append(Error(f"Test and real networks together: {', '.join(known)}.", hint=hint, id="loa.E006"))
    for caip2 in known:
        for asset in configured[caip2]["assets"].values():
            owner = _chain_of_token(asset["address"])
            if owner not in ("", caip2):
                sentence = f"{asset['address']} is USDC of {owner}, not of {caip2}."
                problems.append(Error(sentence, hint="Name the token of that chain.", id="loa.E006"))
    return problems


def facilitator_is_safe(**_kwargs: Any) -> list[CheckMessage]:
    """A deployment's facilitator is reached by HTTPS: its answers decide whether a call is served."""
    url = loa("FACILITATOR_URL")
    if loa("ENVIRONMENT") in ENVIRONMENTS_OF_ONE_MACHINE or not url or url.startswith("https://"):
        return []
    return [Error("LOA_FACILITATOR_URL must begin with https://.", hint="Or settle by a relayer.", id="loa.E007")]


def _chain_of_token(address: str) -> str:
    """The known network whose USDC has this address; empty when none has."""
    for caip2, facts in networks.KNOWN.items():
        if any(asset["address"].lower() == address.lower() for asset in facts["assets"].values()):
            return caip2
    return ""


def _public(variable: str) -> CheckMessage:
    return Error(
        f"{variable} belongs to a wallet whose private key anyone can compute.",
        hint="Make a key of your own; money sent to a public one is gone at once.",
        id="loa.E002",
    )
