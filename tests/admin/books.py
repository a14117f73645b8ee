"""Rows for the staff pages to show, made the way the product makes them: by appending journals."""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from accounts.models import Account, Session, Wallet
from billing.domain import accounts as chart
from billing.domain.journal import Transition
from billing.services import dead_letters
from billing.services.finalization import FinalizeRequest, finalize
from billing.services.settlements import SettledPayment, book_settlements
from telemetry.identifiers import new_id, new_payment_id
from x402.models import ChainTransaction, KeptQuote, Payment, PaymentState, Relayer, SettlementAttempt

NETWORK = "eip155:84532"
USDC = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
PAY_TO = "0x1111111111111111111111111111111111111111"
DENOMINATION = chart.token_denomination(network=NETWORK, asset_address=USDC)


@dataclass(frozen=True, slots=True)
class Book:
    """One served payment and what belongs to it."""

    payment: Payment
    account: Account
    transaction: ChainTransaction
    quote: KeptQuote
    session: Session
    relayer: Relayer
    dead_letter_id: str


def hexadecimal(byte_count: int) -> str:
    """Random bytes as the chain writes them."""
    return "0x" + secrets.token_hex(byte_count)


def write_book(*, paid: int = 2_000, cost: int = 700) -> Book:
    """A payment of `paid` whose work cost `cost`, served, with its change. Units: MicroUSDC."""
    account = Account.objects.create(label="Ada's weather agent")
    wallet = Wallet.objects.create(account=account, address=hexadecimal(20))
    quote = kept_quote(wallet.address)
    payment = verified_payment(account, wallet, quote=quote, amount=paid)
    transaction = carry(payment)
    settle(payment, transaction)
    serve(payment, cost=cost)
    payment.refresh_from_db()
    return Book(
        payment=payment,
        account=account,
        transaction=transaction,
        quote=quote,
        session=session_of(account, wallet),
        relayer=Relayer.objects.create(network=NETWORK, address=transaction.relayer, next_nonce=8),
        dead_letter_id=dead_letter(payment),
    )


def kept_quote(wallet: str, quote_id: str | None = None) -> KeptQuote:
    return KeptQuote.objects.create(
        id=quote_id or new_id("quo"),
        token_hash=secrets.token_hex(32),
        request_hash=secrets.token_hex(32),
        request_method="POST",
        request_path="/api/v1/x402/invoke",
        description="One answer of loa-demo",
        max_cost_micro_usdc=2_000,
        price_version=1,
        wallet=wallet,
        expires_at=timezone.now() + timedelta(minutes=5),
    )


def verified_payment(account: Account, wallet: Wallet, *, quote: KeptQuote, amount: int) -> Payment:
    return Payment.objects.create(
        id=new_payment_id(),
        network=NETWORK,
        verifying_contract=USDC,
        payer=wallet.address,
        nonce=hexadecimal(32),
        asset=USDC,
        pay_to=PAY_TO,
        amount_micro_usdc=amount,
        request_hash=quote.request_hash,
        request_method=quote.request_method,
        request_path=quote.request_path,
        quote_id=quote.id,
        correlation_id=quote.id,
        account_id=account.id,
        entry_id=new_id("ent"),
        trace_context="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )


def carry(payment: Payment) -> ChainTransaction:
    """A mined transaction of a relayer that carries the payment."""
    transaction = ChainTransaction.objects.create(
        network=NETWORK,
        relayer=hexadecimal(20),
        nonce=7,
        transaction_hash=hexadecimal(32),
        raw=b"\x02",
        state="mined",
        gas_limit=120_000,
        gas_used=73_400,
        max_fee_per_gas_wei=1_000_000_000,
        max_priority_fee_per_gas_wei=1_000_000,
        fee_wei=73_400_000_000_000,
        payment_count=1,
        block_number=1_234,
        block_hash=hexadecimal(32),
        succeeded=True,
        broadcast_at=timezone.now(),
    )
    SettlementAttempt.objects.create(payment=payment, transaction=transaction, position=0)
    Payment.objects.filter(pk=payment.pk).update(state=PaymentState.SETTLING)
    return transaction


def settle(payment: Payment, transaction: ChainTransaction) -> None:
    """Book the transfer that paid it."""
    [result] = book_settlements(
        [
            SettledPayment(
                payment_id=payment.id,
                entry_id=payment.entry_id,
                account_id=payment.account_id,
                wallet=payment.payer,
                network=NETWORK,
                asset_address=USDC,
                pay_to=PAY_TO,
                amount_micro_usdc=payment.amount_micro_usdc,
                tx_hash=transaction.transaction_hash,
                block_hash=transaction.block_hash,
                block_number=1_234,
                log_index=1,
                correlation_id=payment.correlation_id,
                transition=Transition(
                    "x402_payment",
                    payment.id,
                    "settling",
                    "settled",
                    1,
                    {"transaction_hash": transaction.transaction_hash},
                ),
            )
        ]
    )
    assert result.is_written, result


def serve(payment: Payment, *, cost: int) -> None:
    """Book what the work cost; the rest is a note of kind `change`."""
    Payment.objects.filter(pk=payment.pk).update(state=PaymentState.SERVING)
    finalize(
        payment=FinalizeRequest(
            payment_id=payment.id,
            entry_id=payment.entry_id,
            account_id=payment.account_id,
            wallet=payment.payer,
            denomination=DENOMINATION,
            held_micro_usdc=payment.amount_micro_usdc,
            cost_micro_usdc=cost,
            correlation_id=payment.correlation_id,
            transition=Transition(
                "x402_payment",
                payment.id,
                "serving",
                "served",
                1,
                {"charged_micro_usdc": min(cost, payment.amount_micro_usdc)},
            ),
        )
    )


def session_of(account: Account, wallet: Wallet) -> Session:
    now = timezone.now()
    return Session.objects.create(
        family=new_id("ses"),
        account=account,
        wallet=wallet.address,
        token_hash=secrets.token_hex(32),
        refresh_hash=secrets.token_hex(32),
        expires_at=now + timedelta(minutes=15),
        refresh_expires_at=now + timedelta(days=1),
    )


def dead_letter(payment: Payment) -> str:
    """A letter of the settlement queue about the payment."""
    return dead_letters.enqueue(
        queue="settlement",
        subject_id=payment.id,
        reason="rpc_unreachable",
        payload={"schema_version": 1, "payment_id": payment.id},
        correlation_id=payment.correlation_id,
        trace_context={},
    )
