"""From a journal's result to the error that its refusal is."""

from collections.abc import Sequence
from typing import Final

from billing.domain import errors
from billing.domain.journal import Journal, Result, ResultStatus
from billing.services.append_journal import append

ERROR_OF: Final[dict[ResultStatus, type[errors.BillingError]]] = {
    ResultStatus.KEY_REUSED: errors.KeyReused,
    ResultStatus.INSUFFICIENT_FUNDS: errors.InsufficientFunds,
    ResultStatus.CREDIT_NOTE_CAP_EXCEEDED: errors.CreditNoteCapExceeded,
    ResultStatus.BALANCE_CAP_EXCEEDED: errors.CreditNoteCapExceeded,
    ResultStatus.WRONG_STATE: errors.WrongState,
    ResultStatus.TRANSITION_REFUSED: errors.PostingRefused,
    ResultStatus.POSTING_REFUSED: errors.PostingRefused,
    ResultStatus.APPROVAL_REQUIRED: errors.ApprovalRequired,
    ResultStatus.APPROVAL_INVALID: errors.ApprovalInvalid,
    ResultStatus.PERIOD_CLOSED: errors.PeriodClosed,
    ResultStatus.STALE: errors.StaleToken,
}


def require_written(result: Result) -> Result:
    """Return a result that is in the ledger; raise the error of its refusal otherwise, with the ledger's facts."""
    if result.is_written:
        return result
    facts = {name: value for name, value in result.detail.items() if name.isidentifier()}
    raise ERROR_OF.get(result.status, errors.Refused)(status=result.status.value, **facts)


def append_again_when_stale(journals: Sequence[Journal]) -> list[Result]:
    """Append, and once more when this process's stream was taken over: the refused batch wrote nothing.

    The second call leases a stream anew; keys and guarded transitions decide as they would have the first time.
    Raises what `append` raises.
    """
    results = append(journals)
    if results and results[0].status is ResultStatus.STALE:
        results = append(journals)
    return results
