"""The account behind a wallet. The first sight of a wallet makes one; every payment asks, so the answer is cached."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from django.db import IntegrityError, connection, transaction

from accounts.addresses import canonical_wallet
from accounts.models import Account, Wallet
from telemetry import names
from telemetry.logging import get_logger

REMEMBERED_MAX: Final = 10_000

log = get_logger(__name__)


class _AccountIds:
    """Account ids by wallet and database. An account never changes its wallet's side, so nothing is ever stale."""

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str]) -> str | None:
        with self._lock:
            if key in self._ids:
                self._ids.move_to_end(key)
            return self._ids.get(key)

    def remember(self, key: tuple[str, str], account_id: str) -> Callable[[], None]:
        """What to run once the row is certain to stay."""

        def keep() -> None:
            with self._lock:
                self._ids[key] = account_id
                while len(self._ids) > REMEMBERED_MAX:
                    self._ids.popitem(last=False)

        return keep


_account_ids = _AccountIds()


def account_id_of_wallet(address: str) -> str:
    """The id of the account that owns a wallet; made when the wallet is seen for the first time.

    Raises ValueError for what is no address. Two processes that meet a wallet at once agree on one account: the wallet
    is unique, and the second one's account is rolled back.
    """
    wallet = canonical_wallet(address)
    key = (str(connection.settings_dict["NAME"]), wallet)
    known = _account_ids.get(key)
    if known is not None:
        return known
    account_id = _stored(wallet) or _created(wallet)
    transaction.on_commit(_account_ids.remember(key, account_id))
    return account_id


def account_of_wallet(address: str) -> Account:
    """The account that owns a wallet, as a row. Raises ValueError for what is no address."""
    return Account.objects.get(pk=account_id_of_wallet(address))


def _stored(wallet: str) -> str | None:
    rows = Wallet.objects.filter(family=Wallet.Family.EVM, address=wallet).values_list("account_id", flat=True)
    return rows.first()


def _created(wallet: str) -> str:
    try:
        with transaction.atomic():
            account = Account.objects.create()
            Wallet.objects.create(family=Wallet.Family.EVM, address=wallet, account=account)
    except IntegrityError:
        existing = _stored(wallet)
        if existing is None:
            raise
        return existing
    log.info(names.ACCOUNT_CREATED, account_id=account.id, wallet=wallet)
    return account.id
