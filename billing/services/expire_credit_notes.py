"""Change that nobody spent in time becomes income; money that is owed never does (rules R15, R32)."""

from typing import Final

from django.db import connection

from billing.domain import posting_rules
from billing.domain.journal import Journal, JournalKind, NoteSpend
from billing.services.outcomes import append_again_when_stale

# The collation is that of note_id and its index; without it, each note's movements are looked for in the whole table.
EXPIRED: Final = """
SELECT id, wallet, denomination, remaining, source,
       (SELECT count(*) FROM billing.credit_note_movement m WHERE m.note_id = n.id COLLATE "default")
FROM billing.credit_note n WHERE n.remaining > 0 AND n.expires_at <= clock_timestamp()
ORDER BY n.expires_at LIMIT %s
"""
SWEEP_MAX = 100  # notes of one sweep; the next sweep takes the rest


def expire_credit_notes(*, limit: int = SWEEP_MAX) -> int:
    """Book what is left on expired notes as income, oldest first; how many notes.

    The append function judges expiry again by its own clock, and a note that was spent or revived meanwhile is left
    alone: the sweep finds it again with what it holds then.
    """
    with connection.cursor() as cursor:
        cursor.execute(EXPIRED, [limit])
        expired = cursor.fetchall()
    if not expired:
        return 0
    results = append_again_when_stale(
        [
            Journal(
                kind=JournalKind.CREDIT_NOTE_EXPIRED,
                # A note can be revived by a released hold and expire again: its movements tell which time this is.
                key=f"expire:{note_id}:{movements}",
                postings=posting_rules.credit_note_expired(denomination=denomination, wallet=wallet, amount=remaining),
                notes_spent=(
                    NoteSpend(wallet=wallet, amount=remaining, spend_id=note_id, reason="expired", note_id=note_id),
                ),
                metadata={"source": source},
            )
            for note_id, wallet, denomination, remaining, source, movements in expired
        ]
    )
    return sum(result.is_written for result in results)
