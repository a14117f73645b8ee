"""Whom we deal with: a hook for a deployment's own list of wallets, named by its dotted path in `WALLET_SCREEN`.

The function takes the wallet in lower case and a purpose, `pay` or `refund`, and says whether to go on. It is asked for
new payments only: a payment that is known is answered from its row, whatever a list says today (R19).
"""

from collections.abc import Callable
from typing import Final, cast

from django.utils.module_loading import import_string

from accounts.services.errors import AccountsError
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger

FOR_PAYING: Final = "pay"
FOR_REFUND: Final = "refund"

log = get_logger(__name__)


class WalletNotServed(AccountsError):
    """Raised when the deployment's screen refuses a wallet."""

    code = "wallet_not_served"


class ScreenFailed(AccountsError):
    """Raised when the screen itself fails: nobody is waved through, and nothing is taken."""

    code = "service_unavailable"


def require_served(wallet: str, purpose: str) -> None:
    """Refuse a wallet that the screen refuses. Raises WalletNotServed, ScreenFailed."""
    path = loa("WALLET_SCREEN")
    if not path:
        return
    screen = cast("Callable[[str, str], bool]", import_string(path))
    try:
        is_served = screen(wallet.lower(), purpose)
    except Exception as error:
        # The boundary to code that is not ours.
        log.exception(names.WALLET_SCREEN_FAILED, purpose=purpose, error=type(error).__name__)
        raise ScreenFailed("Wallets cannot be looked up now. Nothing was taken.") from error
    if not is_served:
        raise WalletNotServed("This deployment does not deal with this wallet. Nothing was taken.")
