"""Which postings each kind of journal may have: shape of account and sign (rule R34).

The append function accepts no others, so that the right to call it is not the right to move any money anywhere.
`billing.posting_template` and `billing.journal_kind` hold the same rows; a test compares the two.
A name with `-` or `+` is a debit or a credit of that shape; `!` after it says that the kind has no sense without it.
"""

from dataclasses import dataclass
from typing import Final

from billing.domain.accounts import CHART
from billing.domain.journal import JournalKind


@dataclass(frozen=True, slots=True)
class Template:
    """What a kind may post, and what else it needs.

    `needs_entry`: it moves a billing entry. `needs_approval`: a second person approved it. `daily_limit`: above this
    sum per owner, denomination and day it needs an approval.
    """

    kind: JournalKind
    lines: str = ""
    needs_entry: bool = False
    needs_approval: bool = False
    daily_limit: int | None = None

    def rows(self) -> list[tuple[str, int, bool]]:
        """(shape, sign, is_required) of each line."""
        return [
            (line.rstrip("!")[:-1], 1 if line.rstrip("!").endswith("+") else -1, line.endswith("!"))
            for line in self.lines.split()
        ]


REFUND_DAILY_LIMIT: Final = 1_000_000_000  # 1,000 USDC a wallet and day without a second person
_EVERYTHING: Final = " ".join(f"{shape.name}- {shape.name}+" for shape in CHART if shape.name != "user_held")

TEMPLATES: Final = (
    Template(JournalKind.X402_SETTLED, "treasury-! user_held+!", needs_entry=True),
    Template(JournalKind.BILLING_RESERVE, "user_available-! user_held+!", needs_entry=True),
    Template(JournalKind.BILLING_RELEASE, "user_held-! user_available+ credit_notes+", needs_entry=True),
    Template(
        JournalKind.BILLING_COMMIT,
        "user_held-! revenue+ user_available+ credit_notes+ refunds_payable+",
        needs_entry=True,
    ),
    Template(
        JournalKind.BILLING_VOID,
        "revenue- user_held- user_available+ credit_notes+ receivable+",
        needs_entry=True,
        needs_approval=True,
    ),
    Template(JournalKind.CREDIT_NOTE_OWED, "user_held- treasury- credit_notes+ refunds_payable+"),
    Template(JournalKind.CREDIT_NOTE_SPENT, "credit_notes-! user_held+!", needs_entry=True),
    Template(JournalKind.CREDIT_NOTE_EXPIRED, "credit_notes-! credit_notes_expired+!"),
    Template(
        JournalKind.CREDIT_NOTE_REFUND_STARTED, "credit_notes-! refunds_payable+!", daily_limit=REFUND_DAILY_LIMIT
    ),
    Template(JournalKind.CREDIT_NOTE_REFUND_PAID, "refunds_payable-! treasury+ refund_float+"),
    Template(JournalKind.CREDIT_NOTE_REFUND_FAILED, "refunds_payable-! credit_notes+!"),
    Template(JournalKind.NOTE_CLAWED_BACK, "credit_notes-! receivable+!"),
    Template(JournalKind.NOTES_FINAL),
    Template(JournalKind.CREDIT_MINT, "treasury-! exchange+! exchange-! user_available+! rounding- rounding+"),
    Template(JournalKind.SERVED_DEFERRED, "receivable-! revenue+!"),
    Template(JournalKind.DEFERRED_SETTLED, "treasury-! receivable+!"),
    Template(JournalKind.RECEIVABLE_WRITTEN_OFF, "bad_debt-! receivable+!"),
    Template(JournalKind.OVERRUN, "overruns-! revenue+!"),
    Template(JournalKind.REFUND_FLOAT_TOPPED_UP, "refund_float-! treasury+!"),
    Template(JournalKind.SETTLEMENT_REVERSED, "treasury+! receivable-!"),
    Template(JournalKind.GAS_SPENT, "relayer+! gas-!"),
    Template(JournalKind.RELAYER_FUNDED, "relayer-! funding+!"),
    Template(JournalKind.DEPOSIT_UNMATCHED, "treasury-! suspense+!"),
    Template(JournalKind.SUSPENSE_MATCHED, "suspense-! credit_notes+ treasury+", needs_approval=True),
    Template(JournalKind.MANUAL_CREDIT, "bad_debt-! user_available+ credit_notes+", needs_approval=True),
    Template(JournalKind.OPENING_BALANCE, _EVERYTHING, needs_approval=True),
    Template(JournalKind.REVERSAL, _EVERYTHING, needs_approval=True),
    Template(JournalKind.STATE_CHANGE),
    Template(JournalKind.FINALIZE_DEFERRED, needs_entry=True),
    Template(JournalKind.FENCE_RESET, needs_approval=True),
    Template(JournalKind.STREAM_OPENED, needs_approval=True),
    Template(JournalKind.PERIOD_CLOSED, needs_approval=True),
)
