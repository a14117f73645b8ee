"""One wallet, one account, whoever asks first and however many at once."""

import threading
from secrets import token_hex

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import DjangoAssertNumQueries

from accounts.models import Account, Wallet
from accounts.services.account_of_wallet import account_id_of_wallet, account_of_wallet


def some_wallet() -> str:
    return "0x" + token_hex(20)


@pytest.mark.django_db(transaction=True)
def test_the_first_sight_of_a_wallet_makes_its_account() -> None:
    wallet = some_wallet()

    account = account_of_wallet(wallet)

    assert account.id.startswith("acc_")
    assert [str(found) for found in account.wallets.all()] == [wallet]
    assert account_id_of_wallet(wallet.upper().replace("0X", "0x")) == account.id


@pytest.mark.django_db(transaction=True)
def test_a_known_wallet_costs_no_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    wallet = some_wallet()
    account_id_of_wallet(wallet)

    with django_assert_num_queries(0):
        account_id_of_wallet(wallet)


@pytest.mark.django_db(transaction=True)
def test_twenty_threads_that_meet_a_wallet_at_once_agree() -> None:
    wallet, found, barrier = some_wallet(), [], threading.Barrier(20)
    before = Account.objects.count()

    def meet() -> None:
        barrier.wait()
        try:
            found.append(account_id_of_wallet(wallet))
        finally:
            connection.close()

    threads = [threading.Thread(target=meet) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 20
    assert len(set(found)) == 1
    assert Wallet.objects.filter(address=wallet).count() == 1
    assert Account.objects.count() == before + 1


@pytest.mark.django_db(transaction=True)
def test_an_account_whose_transaction_was_rolled_back_is_not_remembered() -> None:
    wallet = some_wallet()

    def attempt() -> None:
        with transaction.atomic():
            account_id_of_wallet(wallet)
            raise KeyError

    with pytest.raises(KeyError):
        attempt()

    assert Wallet.objects.filter(address=wallet).count() == 0
    assert Account.objects.filter(id=account_id_of_wallet(wallet)).count() == 1


@pytest.mark.parametrize("address", ["", "0x", "0x12", "0x" + "g" * 40, "0x" + "a" * 41, "0x" + "１" * 40, "x" * 1000])
def test_what_is_no_address_gets_no_account(address: str) -> None:
    with pytest.raises(ValueError, match="40 hex digits"):
        account_id_of_wallet(address)


@pytest.mark.django_db(transaction=True)
def test_the_database_takes_one_spelling_of_an_address_only() -> None:
    account = Account.objects.create()

    with pytest.raises(IntegrityError):
        Wallet.objects.create(address="0x" + "AB" * 20, account=account)
