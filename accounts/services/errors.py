"""Why someone was not believed. One class per answer, with the problem's stable code."""

from typing import ClassVar


class AccountsError(Exception):
    """Raised when accounts refuse something; `code` is the problem's code, `detail` may be shown to the caller."""

    code: ClassVar[str] = "invalid_request"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class SignInRefused(AccountsError):
    """Raised when a sign-in message or its signature does not hold."""

    code = "invalid_sign_in"


class SessionRefused(AccountsError):
    """Raised when a bearer or refresh token is unknown, expired, used up or revoked."""

    code = "invalid_session"


class KeyRefused(AccountsError):
    """Raised when an API key is not one of ours, or not any more."""

    code = "invalid_api_key"


class ScopeMissing(AccountsError):
    """Raised when a good API key lacks the scope for what it asks."""

    code = "insufficient_scope"


class KeyNotFound(AccountsError):
    """Raised when an account has no API key of that id."""

    code = "key_not_found"


class TooManyKeys(AccountsError):
    """Raised when an account has as many live API keys as it may."""

    code = "too_many_keys"


class WalletTaken(AccountsError):
    """Raised when a wallet that has an account is to be added to another one."""

    code = "wallet_taken"


class TooManyWallets(AccountsError):
    """Raised when an account has as many wallets as it may."""

    code = "too_many_wallets"


class WalletProofRefused(AccountsError):
    """Raised when a SIGN-IN-WITH-X header does not prove a wallet for this very request."""

    code = "invalid_wallet_proof"
