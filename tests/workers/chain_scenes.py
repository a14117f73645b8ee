"""The same for tasks that look at the chain: settlement, its sweeps, refunds, gas and the comparison of the books."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

from django.conf import settings
from django.test import override_settings
from django.utils import timezone
from eth_account import Account as Key

import contracts
from accounts.models import Account, Wallet
from billing.domain import accounts
from billing.selectors import balances
from nft.models import OnboardingSession, TokenPicture, TransferCursor
from nft.services.known_collections import known_collections
from telemetry.identifiers import new_id
from tests.admin.books import carry, hexadecimal, kept_quote, settle, verified_payment
from tests.factories import ledger
from tests.workers.scenes import Scene, long_ago
from tests.x402.buyer import Buyer, terms_of
from tests.x402.chain_tools import LocalChain
from tests.x402.refunding import FINAL_BLOCKS
from x402.models import ChainTransaction, KeptQuote, Payment, PaymentState, Reconciliation, Relayer
from x402.services import settler

NETWORK = "eip155:84532"
USDC = f"{NETWORK}/erc20:{contracts.USDC_ADDRESS.lower()}"
PRICE = 10_000


def chain() -> LocalChain:
    return LocalChain(settings.LOA["NETWORKS"][NETWORK]["rpc_urls"][0])


def new_buyer() -> Buyer:
    buyer = Buyer("0x" + secrets.token_hex(32))
    chain().mint(buyer.address, 1_000_000)
    return buyer


REST_SECONDS = 60.0  # a transaction whose nonce the killed have taken is looked into after half a minute


def settle_down() -> None:
    """Until the settler has nothing to do. It is not begun anew meanwhile, so that it can find out what is late."""
    chain().mine(FINAL_BLOCKS)
    for one in list(settler._settlers.values()):
        assert one.rest(REST_SECONDS)


@contextmanager
def payment_to_settle() -> Iterator[Scene]:
    """A payment that nobody could settle while it was asked for: the relayer's key was held elsewhere."""
    holder = secrets.token_hex(8)
    settle_down()
    Relayer.objects.update(holder=holder, lease_until=timezone.now() + timedelta(hours=1))
    with override_settings(ROOT_URLCONF="tests.x402.paid_urls", LOA={**settings.LOA, "WAIT_SECONDS": 1}):
        buyer = new_buyer()
        header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/fixed")))}
        assert buyer.ask("/fixed", headers=header).status_code == 503
        settle_down()

        def come_back() -> None:
            Relayer.objects.update(lease_until=timezone.now())

        def check() -> None:
            assert chain().balance_of(buyer.address) == 1_000_000 - PRICE
            assert buyer.ask("/fixed", headers=header).status_code == 200
            payment = Payment.objects.get(payer=buyer.address.lower())
            assert (payment.state, payment.charged_micro_usdc) == (PaymentState.SERVED, PRICE)
            assert ledger.kinds_of(payment.entry_id).count("billing_commit") == 1

        come_back()
        yield Scene(check, time_passes=come_back)


@contextmanager
def work_that_died() -> Iterator[Scene]:
    """A payment whose server died while it worked: its money goes back as a note that is owed."""
    account = Account.objects.create(label="A payer")
    wallet = Wallet.objects.create(account=account, address=hexadecimal(20))
    payment = verified_payment(account, wallet, quote=kept_quote(wallet.address), amount=2_000)
    settle(payment, carry(payment))
    mine = Payment.objects.filter(pk=payment.pk)

    def time_passes() -> None:
        mine.filter(state=PaymentState.SERVING).update(lease_until=timezone.now() - timedelta(minutes=5))

    mine.update(state=PaymentState.SERVING)
    time_passes()

    def check() -> None:
        assert mine.get().state == PaymentState.CREDITED
        assert ledger.notes_of(wallet.address) == [("owed", 2_000, 2_000)]

    yield Scene(check, time_passes=time_passes)


@contextmanager
def deposit_of_a_stranger() -> Iterator[Scene]:
    """Money that nobody announced, at an address of this scene's own: it goes to suspense."""
    treasury = str(Key.from_key("0x" + secrets.token_hex(32)).address)
    facts = settings.LOA["NETWORKS"][NETWORK] | {"pay_to": treasury, "finality_tag": "latest"}
    Reconciliation.objects.all().delete()
    suspended = balances.balance_of(accounts.SUSPENSE, USDC)
    data = "0xa9059cbb" + treasury[2:].lower().rjust(64, "0") + f"{4_321:064x}"
    chain().send_mined(new_buyer().private_key, contracts.USDC_ADDRESS, data)

    def check() -> None:
        name = accounts.treasury(network=NETWORK, asset_address=contracts.USDC_ADDRESS, pay_to=treasury)
        assert balances.balance_of(accounts.SUSPENSE, USDC) == suspended + 4_321
        assert -balances.balance_of(name, USDC) == chain().balance_of(treasury) == 4_321
        assert Reconciliation.objects.exists()

    yield Scene(check, loa={"NETWORKS": {NETWORK: facts}})


@contextmanager
def gas_to_book() -> Iterator[Scene]:
    """A mined transaction whose gas is not in the books."""
    account = Account.objects.create(label="A payer")
    wallet = Wallet.objects.create(account=account, address=hexadecimal(20))
    payment = verified_payment(account, wallet, quote=kept_quote(wallet.address), amount=2_000)
    transaction = carry(payment)
    settle(payment, transaction)

    def check() -> None:
        assert ChainTransaction.objects.get(pk=transaction.pk).gas_booked
        assert ledger.journal_count(f"gas:{NETWORK}:{transaction.transaction_hash}") == 1
        coin = accounts.coin_denomination(NETWORK)
        spent = balances.balance_of(accounts.relayer(network=NETWORK, address=transaction.relayer), coin)
        assert spent == 73_400_000_000

    yield Scene(check)


@contextmanager
def quotes_of_long_ago() -> Iterator[Scene]:
    wallet = hexadecimal(20)
    old, fresh = kept_quote(wallet), kept_quote(wallet)
    KeptQuote.objects.filter(pk=old.pk).update(expires_at=long_ago())

    def check() -> None:
        assert list(KeptQuote.objects.filter(wallet=wallet).values_list("pk", flat=True)) == [fresh.pk]

    yield Scene(check)


@contextmanager
def onboardings_of_long_ago() -> Iterator[Scene]:
    """One that ended last year, one that nobody went on with, one of now; and a picture of last year."""
    account_id = new_id("acc")
    ended, alone, fresh = (
        OnboardingSession.objects.create(account_id=account_id, wallet=hexadecimal(20)) for _ in range(3)
    )
    OnboardingSession.objects.filter(pk=ended.pk).update(expired_at=long_ago(), updated_at=long_ago())
    OnboardingSession.objects.filter(pk=alone.pk).update(updated_at=long_ago())
    picture = TokenPicture.objects.create(
        chain=NETWORK, collection=hexadecimal(20), token_id="1", fetched_at=long_ago()
    )

    def check() -> None:
        left = {row.pk: row.expired_at is not None for row in OnboardingSession.objects.filter(account_id=account_id)}
        assert left == {alone.pk: True, fresh.pk: False}
        assert not TokenPicture.objects.filter(pk=picture.pk).exists()

    yield Scene(check)


@contextmanager
def collections_to_read() -> Iterator[Scene]:
    """Collections whose transfers nobody read yet: each gets one mark, and tokens of no agent get no picture."""
    TransferCursor.objects.all().delete()
    pictures = TokenPicture.objects.count()

    def check() -> None:
        marks = list(TransferCursor.objects.values_list("chain", "collection"))
        assert len(marks) == len(set(marks)) <= len(known_collections())
        assert TokenPicture.objects.count() == pictures

    yield Scene(check)


CHAIN_SCENES: Mapping[str, Callable[[], AbstractContextManager[Scene]]] = {
    "nft.fetch_pictures": collections_to_read,
    "nft.poll_transfers": collections_to_read,
    "nft.sweep": onboardings_of_long_ago,
    "x402.forget": quotes_of_long_ago,
    "x402.reconcile": deposit_of_a_stranger,
    "x402.settle_due": payment_to_settle,
    "x402.sweep_payments": work_that_died,
    "x402.watch_gas": gas_to_book,
}
