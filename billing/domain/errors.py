"""What can go wrong in the ledger, as one tree with stable codes.

`Refused` is an answer about this journal: asking again changes nothing until the facts change.
`Retryable` is about the moment: the same call with the same key may succeed and is never counted twice.
"""

from collections.abc import Mapping


class BillingError(Exception):
    """Raised when the ledger cannot do what was asked; `facts` say why, as strings and integers."""

    code = "billing_error"

    def __init__(self, message: str = "", /, **facts: object) -> None:
        self.facts: Mapping[str, object] = facts
        super().__init__(message or (f"{self.code}: {facts}" if facts else self.code))


class Refused(BillingError):
    """Raised when the ledger said no and nothing was written."""

    code = "refused"


class Retryable(BillingError):
    """Raised when the outcome is open or the moment is wrong; the same call with the same key is safe."""

    code = "retryable"


class InvalidAmount(Refused):
    """Raised when an amount is not an integer in range: a fraction, a boolean, text, zero, or beyond 63 bits."""

    code = "invalid_amount"


class InvalidJournal(Refused):
    """Raised when a journal breaks a rule that needs no database: not zero-sum, no key, control characters."""

    code = "invalid_journal"


class UnitMismatch(Refused):
    """Raised when amounts of two units meet in one sum."""

    code = "unit_mismatch"


class KeyReused(Refused):
    """Raised when an idempotency key comes back with another body."""

    code = "key_reused"


class InsufficientFunds(Refused):
    """Raised when an account would fall below its floor."""

    code = "insufficient_funds"


class CreditNoteCapExceeded(Refused):
    """Raised when a wallet's credit would rise above its cap; facts: balance, delta, cap."""

    code = "credit_note_cap_exceeded"


class CreditNoteDeltaExceeded(Refused):
    """Raised when one credit note is larger than the risk limit for a single note; facts: delta, cap."""

    code = "credit_note_delta_exceeded"


class WrongState(Refused):
    """Raised when an entry or a registered row is not in the state a move starts from."""

    code = "wrong_state"


class LostLease(WrongState):
    """Raised when another process owns the payment now; nothing was written (rule R6)."""

    code = "lost_lease"


class PostingRefused(Refused):
    """Raised when postings do not fit the template of their journal's kind (rule R34)."""

    code = "posting_refused"


class ApprovalRequired(Refused):
    """Raised when a journal needs a second person's approval, or its daily limit is used up."""

    code = "approval_required"


class ApprovalInvalid(Refused):
    """Raised when an approval is unknown, expired, used, given by its maker, or was given for something else."""

    code = "approval_invalid"


class PeriodClosed(Refused):
    """Raised when a journal's effective time lies in a closed period."""

    code = "period_closed"


class FinalizeDeferred(BillingError):
    """Raised when a served payment could not be booked now and a dead letter will; facts: dead_letter_id."""

    code = "finalize_deferred"


class InsideTransaction(BillingError):
    """Raised when append is called inside atomic(), where waiting for other threads can never end (rule R29)."""

    code = "inside_transaction"


class StaleToken(Retryable):
    """Raised when the stream was taken over; this process must lease a stream again before it writes."""

    code = "stale_token"


class LedgerUnavailable(Retryable):
    """Raised when the ledger's database cannot be reached; nothing of this call is known to be written."""

    code = "ledger_unavailable"


class RecoveryInProgress(Retryable):
    """Raised when money must stand still, because the database may have forgotten some (rule R10)."""

    code = "recovery_in_progress"


class OutcomeUnknown(Retryable):
    """Raised when no answer came in time; ask again with the same key to learn the result."""

    code = "outcome_unknown"
