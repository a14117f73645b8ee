"""Prepaid money set aside for work: reserve, then commit or release; a hold whose owner vanished expires.

Only prepaid reserves expire (rule R14). Expiry permits a release, it does not forbid a commit: whoever comes first
wins, because both move the same entry. A hold with a live lease or an open dead letter is not expirable, and one that
pays a call is resolved by that payment alone: its row says how far the call got.
"""

from dataclasses import dataclass

from django.db import connection

from billing.domain import accounts, posting_rules
from billing.domain.journal import EntryMove, Journal, JournalKind, Result, Transition
from billing.domain.lifecycle import EntryState
from billing.selectors.reports import pending_risk
from billing.services.dead_letters import require_risk_headroom
from billing.services.outcomes import append_again_when_stale, require_written
from billing.services.recovery import require_none
from telemetry.configuration import loa

SWEEP_MAX = 100  # entries of one sweep; the next sweep takes the rest

EXPIRED = """
SELECT e.id, e.account_id, e.held_amount, e.correlation_id FROM billing.billing_entry e
WHERE e.state = 'RESERVE_HELD' AND e.expires_at <= clock_timestamp() AND e.payment_id = ''
  AND (e.lease_until IS NULL OR e.lease_until <= clock_timestamp())
  AND NOT EXISTS (SELECT FROM billing.dead_letter d WHERE d.entry_id = e.id AND d.state IN ('pending', 'poisoned'))
ORDER BY e.expires_at LIMIT %s
"""


def reserve(
    *, entry_id: str, account_id: str, amount_micro_usd: int, correlation_id: str, hold_seconds: int | None = None
) -> Result:
    """Hold prepaid money for one piece of work. Units: MicroUSD.

    Raises InsufficientFunds, KeyReused when the entry was reserved with another amount, and PendingRiskCap while work
    that could not be booked is worth the limit or more; RecoveryInProgress.
    """
    require_none()
    require_risk_headroom(pending_risk())
    seconds = loa("RESERVE_TTL_SECONDS") if hold_seconds is None else hold_seconds
    return _append(
        Journal(
            kind=JournalKind.BILLING_RESERVE,
            key=f"reserve:{entry_id}",
            postings=posting_rules.billing_reserve(
                denomination=accounts.PREPAID, account_id=account_id, amount=amount_micro_usd
            ),
            entry_moves=(
                EntryMove(
                    entry_id=entry_id,
                    from_state=EntryState.IDLE,
                    to_state=EntryState.RESERVE_HELD,
                    account_id=account_id,
                    funding="prepaid",
                    hold_seconds=seconds,
                ),
            ),
            correlation_id=correlation_id,
        )
    )


@dataclass(frozen=True, slots=True)
class CallHold:
    """Prepaid money set aside for one call, and the payment row that moves with it. Units: MicroUSD."""

    entry_id: str
    account_id: str
    payment_id: str
    amount_micro_usd: int
    correlation_id: str
    transition: Transition


def hold_for_call(hold: CallHold) -> Result:
    """Hold prepaid money for a call and move its payment, in one journal; the same call again is `exists`.

    Units: MicroUSD. A balance that cannot pay all of it is `insufficient_funds`, and nothing changes then.
    Raises PendingRiskCap while work that could not be booked is worth the limit or more; RecoveryInProgress.
    """
    require_none()
    require_risk_headroom(pending_risk())
    [result] = append_again_when_stale(
        [
            Journal(
                kind=JournalKind.BILLING_RESERVE,
                key=f"reserve:{hold.entry_id}",
                postings=posting_rules.billing_reserve(
                    denomination=accounts.PREPAID, account_id=hold.account_id, amount=hold.amount_micro_usd
                ),
                transitions=(hold.transition,),
                entry_moves=(
                    EntryMove(
                        entry_id=hold.entry_id,
                        from_state=EntryState.IDLE,
                        to_state=EntryState.RESERVE_HELD,
                        account_id=hold.account_id,
                        funding="prepaid",
                        payment_id=hold.payment_id,
                    ),
                ),
                correlation_id=hold.correlation_id,
            )
        ]
    )
    return result


def extend(*, entry_id: str, hold_seconds: int) -> bool:
    """Keep a hold from expiring for so long from now, while its work runs; whether it was still held.

    Units: seconds, by the database's clock. A heartbeat calls this; it never shortens a hold.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing.extend_hold(%s, %s)", [entry_id, hold_seconds])
        (is_held,) = cursor.fetchone()
    return bool(is_held)


def commit(*, entry_id: str, account_id: str, held_micro_usd: int, cost_micro_usd: int, correlation_id: str) -> Result:
    """Charge the actual cost out of a hold and give the rest back to the prepaid balance. Units: MicroUSD.

    Cost above the hold is our expense. Raises WrongState when the hold was resolved already, another way.
    """
    charged = min(cost_micro_usd, held_micro_usd)
    journals = [
        Journal(
            kind=JournalKind.BILLING_COMMIT,
            key=f"commit:{entry_id}",
            postings=posting_rules.billing_commit(
                denomination=accounts.PREPAID,
                account_id=account_id,
                change_account=accounts.available(account_id),
                held=held_micro_usd,
                charged=charged,
            ),
            entry_moves=(
                EntryMove(entry_id, EntryState.RESERVE_HELD, EntryState.COMMITTED, cost=cost_micro_usd),
                EntryMove(entry_id, EntryState.COMMITTED, EntryState.FINALIZE_ACKED),
            ),
            correlation_id=correlation_id,
            linked=cost_micro_usd > charged,
        )
    ]
    if cost_micro_usd > charged:
        journals.append(
            Journal(
                kind=JournalKind.OVERRUN,
                key=f"overrun:{entry_id}",
                postings=posting_rules.overrun(denomination=accounts.PREPAID, amount=cost_micro_usd - charged),
                correlation_id=correlation_id,
            )
        )
    return require_written(append_again_when_stale(journals)[0])


def release(*, entry_id: str, account_id: str, held_micro_usd: int, correlation_id: str, reason: str) -> Result:
    """Give a whole hold back to the prepaid balance. Units: MicroUSD. Raises WrongState when it was resolved."""
    return _append(
        Journal(
            kind=JournalKind.BILLING_RELEASE,
            key=f"release:{entry_id}",
            postings=posting_rules.billing_release(
                denomination=accounts.PREPAID, account_id=account_id, wallet="", amount=held_micro_usd
            ),
            entry_moves=(EntryMove(entry_id, EntryState.RESERVE_HELD, EntryState.RELEASED, reason=reason),),
            correlation_id=correlation_id,
        )
    )


def release_expired(*, limit: int = SWEEP_MAX) -> int:
    """Release prepaid holds that have expired, oldest first; how many. What was resolved meanwhile is left alone."""
    with connection.cursor() as cursor:
        cursor.execute(EXPIRED, [limit])
        expired = cursor.fetchall()
    if not expired:
        return 0
    results = append_again_when_stale(
        [
            Journal(
                kind=JournalKind.BILLING_RELEASE,
                key=f"release:{entry_id}",
                postings=posting_rules.billing_release(
                    denomination=accounts.PREPAID, account_id=account_id, wallet="", amount=held
                ),
                entry_moves=(
                    EntryMove(
                        entry_id, EntryState.RESERVE_HELD, EntryState.RELEASED, reason="reserve_expired", expired=True
                    ),
                ),
                correlation_id=correlation_id,
            )
            for entry_id, account_id, held, correlation_id in expired
        ]
    )
    return sum(result.is_written for result in results)


def _append(journal: Journal) -> Result:
    [result] = append_again_when_stale([journal])
    return require_written(result)
