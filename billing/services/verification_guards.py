"""The part of the ledger's proof that looks at what guards it: triggers, and ways around them.

What must be there is written here, outside the database, so that nobody who owns the database can shorten the list;
a test compares it with what the migrations make. What must not be there is found in the catalogue: a trigger that a
session can switch off, a child table whose rows would count while no guard sees them, a rule that rewrites a write.
"""

from typing import Final

from django.db.backends.utils import CursorWrapper

from billing.services.verification_findings import CheckResult, Finding

APPEND_ONLY: Final = (
    "account",
    "anchor",
    "approval",
    "approval_grant",
    "credit_note_movement",
    "idempotency_key",
    "journal",
    "posting",
)
NEVER_DELETED: Final = (*APPEND_ONLY, "balance", "billing_entry", "credit_note", "daily_use", "dead_letter", "stream")
# (table, trigger) and the function it calls.
GUARDS: Final = {
    ("posting", "postings_are_whole"): "check_postings",
    ("journal", "journals_follow_each_other"): "check_journals",
    ("journal", "batch_has_postings"): "check_batch_has_postings",
    ("billing_entry", "entry_birth"): "check_entry_lifecycle",
    ("billing_entry", "entry_lifecycle"): "check_entry_lifecycle",
    **{(table, "no_update"): "refuse_change" for table in APPEND_ONLY},
    **{(table, guard): "refuse_change" for table in NEVER_DELETED for guard in ("no_delete", "no_truncate")},
}

_TRIGGERS: Final = """
SELECT c.relname, t.tgname, t.tgenabled::text, p.proname, p.pronamespace = c.relnamespace
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_proc p ON p.oid = t.tgfoid
WHERE c.relnamespace = 'billing'::regnamespace AND NOT t.tgisinternal ORDER BY 1, 2
"""
_WAYS_AROUND: Final = """
SELECT 'billing.' || parent.relname, 'rows of its child ' || i.inhrelid::regclass || ' pass no guard'
FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent
WHERE parent.relnamespace = 'billing'::regnamespace AND parent.relkind IN ('r', 'p')
UNION ALL
SELECT 'billing.' || c.relname, 'its rule ' || r.rulename || ' rewrites what is written'
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind IN ('r', 'p')
UNION ALL
SELECT 'billing.' || c.relname, 'row security hides rows of it'
FROM pg_class c WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind IN ('r', 'p') AND c.relrowsecurity
ORDER BY 1, 2 LIMIT 1
"""


def check_guards(cursor: CursorWrapper) -> CheckResult:
    """Every guard is there, fires ALWAYS and calls its function, and there is no way around one."""
    cursor.execute(_TRIGGERS)
    found = {(table, trigger): facts for table, trigger, *facts in cursor.fetchall()}
    for guard in sorted(GUARDS.keys() | found.keys()):
        detail = _flaw(guard, found.get(guard))
        if detail:
            return CheckResult("guards", len(GUARDS), Finding("guards", f"{guard[1]} on billing.{guard[0]}", detail))
    cursor.execute(_WAYS_AROUND)
    around = cursor.fetchone()
    return CheckResult("guards", len(GUARDS), Finding("guards", *around) if around else None)


def _flaw(guard: tuple[str, str], facts: list[object] | None) -> str:
    if facts is None:
        return "the trigger is missing"
    enabled, function, is_ours = facts
    if enabled != "A":
        return "the trigger is not ENABLE ALWAYS"
    if guard in GUARDS and (function, is_ours) != (GUARDS[guard], True):
        return f"the trigger calls {function} instead of billing.{GUARDS[guard]}"
    return ""
