"""Other events of the books, one function each: credit bought, gas spent, deferred work, closed periods."""

from datetime import datetime

from django.db import connection

from billing.domain import posting_rules
from billing.domain.journal import Journal, JournalKind, Result
from billing.domain.money import KiloWei, MicroUSD, MicroUSDC
from billing.services.outcomes import append_again_when_stale, require_written


def mint_credit(
    *, key: str, treasury: str, token: str, account_id: str, paid: MicroUSDC, minted: MicroUSD, correlation_id: str = ""
) -> Result:
    """Book prepaid credit bought with USDC. `key` names the purchase's Transfer log."""
    return _append(
        Journal(
            kind=JournalKind.CREDIT_MINT,
            key=f"mint:{key}",
            postings=posting_rules.credit_mint(
                treasury=treasury, token=token, paid=paid.units, account_id=account_id, minted=minted.units
            ),
            correlation_id=correlation_id,
        )
    )


def book_gas(*, network: str, relayer: str, tx_hash: str, spent: KiloWei, correlation_id: str = "") -> Result:
    """Book the coin one relayer transaction burned, whether it succeeded or reverted; once per transaction."""
    return _append(
        Journal(
            kind=JournalKind.GAS_SPENT,
            key=f"gas:{network}:{tx_hash}",
            postings=posting_rules.gas_spent(network=network, address=relayer, kilo_wei=spent.units),
            correlation_id=correlation_id,
            metadata={"tx_hash": tx_hash},
        )
    )


def fund_relayer(*, network: str, relayer: str, tx_hash: str, amount: KiloWei) -> Result:
    """Book gas money given to a relayer; once per transaction."""
    return _append(
        Journal(
            kind=JournalKind.RELAYER_FUNDED,
            key=f"fund:{network}:{tx_hash}",
            postings=posting_rules.relayer_funded(network=network, address=relayer, kilo_wei=amount.units),
            metadata={"tx_hash": tx_hash},
        )
    )


def serve_deferred(*, payment_id: str, wallet: str, denomination: str, amount: MicroUSDC) -> Result:
    """Book work delivered before its payment settled, as a debt of its wallet."""
    return _append(
        Journal(
            kind=JournalKind.SERVED_DEFERRED,
            key=f"deferred:{payment_id}",
            postings=posting_rules.served_deferred(denomination=denomination, wallet=wallet, amount=amount.units),
            metadata={"payment_id": payment_id},
        )
    )


def settle_deferred(
    *, payment_id: str, log_key: str, wallet: str, treasury: str, denomination: str, amount: MicroUSDC
) -> Result:
    """Book the payment of work delivered earlier. `log_key` names the Transfer log (rule R24)."""
    return _append(
        Journal(
            kind=JournalKind.DEFERRED_SETTLED,
            key=f"deferred_settled:{log_key}",
            postings=posting_rules.deferred_settled(
                denomination=denomination, treasury=treasury, wallet=wallet, amount=amount.units
            ),
            metadata={"payment_id": payment_id},
        )
    )


def write_off(*, payment_id: str, wallet: str, denomination: str, amount: MicroUSDC) -> Result:
    """Give up a debt whose payment is dead on chain."""
    return _append(
        Journal(
            kind=JournalKind.RECEIVABLE_WRITTEN_OFF,
            key=f"written_off:{payment_id}",
            postings=posting_rules.receivable_written_off(
                denomination=denomination, wallet=wallet, amount=amount.units
            ),
            metadata={"payment_id": payment_id},
        )
    )


def close_period(*, until: datetime, closed_by: str) -> int:
    """Close all books up to a past moment; how many streams. A batch in flight that is dated before it is refused.

    Locks every stream's row in order, in one transaction (rule R31).
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing.close_period(%s, %s)", [until, closed_by])
        (streams,) = cursor.fetchone()
    return int(streams)


def _append(journal: Journal) -> Result:
    [result] = append_again_when_stale([journal])
    return require_written(result)
