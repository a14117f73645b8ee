"""Several wallets of one account: a signed-in wallet adds another, which proves itself by a message of its own.

The message names the account and carries a nonce that serves for this alone, so that nobody's sign-in elsewhere can be
used to add a wallet here. A wallet that has an account already stays there, for ever: the ledger owes its account, and
what is owed never changes sides. Source: EIP-4361.
"""

from django.db import IntegrityError, transaction

from accounts.addresses import canonical_wallet
from accounts.models import Wallet
from accounts.services import audit, nonces
from accounts.services.errors import SignInRefused, TooManyWallets, WalletTaken
from accounts.services.sessions import SignedIn
from accounts.services.sign_in_expectations import REFUSED, Expectation, site_expectation
from accounts.services.sign_in_texts import sign_in_text
from telemetry import names
from telemetry.logging import get_logger

WALLETS_MAX = 20  # of one account

log = get_logger(__name__)


def wallets_of(account_id: str) -> list[Wallet]:
    """The account's wallets, oldest first."""
    return list(Wallet.objects.filter(account_id=account_id).order_by("pk"))


def message_to_sign(who: SignedIn, address: str) -> str:
    """What the wallet at `address` signs to be added to the caller's account. Writes nothing.

    Raises SignInRefused for what is no address.
    """
    try:
        return sign_in_text(address, expected=_expectation(who), statement=_statement(who))
    except ValueError as error:
        raise SignInRefused(str(error)) from error


def add_wallet(who: SignedIn, text: str, signature: str) -> Wallet:
    """Add the wallet that signed the message; its nonce is used up. Adding one that is there is nothing new.

    Raises SignInRefused, TooManyWallets, and WalletTaken for a wallet that has another account.
    Concurrency: the wallet is unique, so of two accounts that race for one the second is told that it is taken.
    """
    wallet = _proven(who, text, signature)
    existing = Wallet.objects.filter(family=Wallet.Family.EVM, address=wallet).first()
    if existing is None:
        existing = _insert(who, wallet)
    if existing.account_id != who.account_id:
        raise WalletTaken("This wallet has an account of its own. What that account is owed cannot change sides.")
    return existing


def _proven(who: SignedIn, text: str, signature: str) -> str:
    """The wallet of a message that was signed for exactly this. Raises SignInRefused."""
    from accounts.services.sign_in_messages import message_of_text, require_valid

    message = message_of_text(text)
    require_valid(message, signature, _expectation(who))
    if message.statement != _statement(who) or not nonces.consume(message.nonce):
        raise SignInRefused(REFUSED)
    return canonical_wallet(message.address)


def _insert(who: SignedIn, wallet: str) -> Wallet:
    if Wallet.objects.filter(account_id=who.account_id).count() >= WALLETS_MAX:
        raise TooManyWallets(f"An account has at most {WALLETS_MAX} wallets.")
    try:
        with transaction.atomic():
            row = Wallet.objects.create(family=Wallet.Family.EVM, address=wallet, account_id=who.account_id)
            audit.record(who.wallet, action="wallet.added", subject=who.account_id, facts={"wallet": wallet})
    except IntegrityError:
        return Wallet.objects.get(family=Wallet.Family.EVM, address=wallet)
    log.info(names.WALLET_ADDED, account_id=who.account_id, wallet=wallet)
    return row


def _expectation(who: SignedIn) -> Expectation:
    site = site_expectation()
    return Expectation(domain=site.domain, uri=site.uri, purpose=f"add a wallet to {who.account_id}")


def _statement(who: SignedIn) -> str:
    return f"Add this wallet to the account {who.account_id}."
