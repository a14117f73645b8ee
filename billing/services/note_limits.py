"""Credit notes as the settings limit them: how long change lives, how much a wallet may have with us."""

from django.db import connection

from billing.domain import accounts, credit_notes
from billing.domain.accounts import MAX_CREDIT_BALANCE
from billing.domain.journal import NoteIssue
from telemetry.configuration import loa
from telemetry.identifiers import new_id


def new_note(*, wallet: str, kind: str, amount: int, source: str) -> NoteIssue:
    """A note to issue. `source` is the payment it comes from. Units: MicroUSDC."""
    lifetime = loa("CHANGE_LIFETIME_SECONDS") if kind == credit_notes.NoteKind.CHANGE else None
    return NoteIssue(
        note_id=new_id("not"),
        wallet=wallet.lower(),
        kind=kind,
        amount=amount,
        source=source,
        lifetime_seconds=lifetime,
    )


def require_room_for_change(*, wallet: str, account_id: str, denomination: str, amount_micro_usdc: int) -> None:
    """Refuse a payment whose change could lift its wallet above the cap, before the payment is taken (rule R32).

    Counts what the wallet's notes hold, what is held for its account, and this payment's whole amount.
    Units: MicroUSDC. Raises CreditNoteCapExceeded with balance, delta and cap; CreditNoteDeltaExceeded.
    """
    credit_notes.require_delta(delta=amount_micro_usdc, cap=loa("CREDIT_NOTE_MAX_DELTA_MICRO_USDC"))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(b.posted), 0)::bigint FROM billing.account a"
            " JOIN billing.balance b ON b.account_id = a.id WHERE a.name = ANY (%s) AND a.denomination = %s",
            [[accounts.credit_notes(wallet), accounts.held(account_id)], denomination],
        )
        (balance,) = cursor.fetchone()
    cap = min(loa("MAX_CREDIT_BALANCE_MICRO_USDC"), MAX_CREDIT_BALANCE)
    credit_notes.require_headroom(balance=balance, delta=amount_micro_usdc, cap=cap)
