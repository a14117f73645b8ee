"""The database refuses what the code would never send: raw SQL, as the application, the owner, and in replica mode.

Numbers are those of the list of faults in the ledger's design (5.1 to 5.31).
"""

import os
from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg import errors

from billing.services.append_journal import append
from tests.factories import ledger
from tests.factories.ledger import suspense_journal, unique

pytestmark = [pytest.mark.django_db(transaction=True)]

APPEND_ONLY = [
    "journal",
    "posting",
    "idempotency_key",
    "account",
    "credit_note_movement",
    "approval",
    "approval_grant",
    "anchor",
]
KEPT = [*APPEND_ONLY, "balance", "stream", "billing_entry", "credit_note", "dead_letter", "daily_use"]
JOURNAL = (
    "INSERT INTO billing.journal (id, stream, sequence, kind, key, body_hash, previous_hash, hash, posting_count,"
    " effective_at, recorded_at, batch_first, closes_batch) VALUES (%(id)s, 0, %(sequence)s, %(kind)s, %(id)s,"
    " sha256('1'), sha256('2'), sha256(%(id)s::text::bytea), %(count)s, now(), now(), %(first)s, %(closes)s)"
)
POSTING = (
    "INSERT INTO billing.posting (journal_id, line, account_id, shard, version, amount, balance_after)"
    " SELECT %(id)s, u.line, a.id, 9999, (random() * 1e15)::bigint + u.line, u.amount::bigint, 0"
    " FROM unnest(%(lines)s::int[], %(amounts)s::numeric[]) u(line, amount), billing.account a"
    " WHERE a.name = 'system:suspense' AND a.denomination = %(denomination)s"
)
CALL = (
    "SELECT billing.append_batch(NULL, '', 0, NULL, 30, '{jrn_x}', '{k}', ARRAY[sha256('x')], %(kind)s::text[],"
    " %(sizes)s::int[], NULL, ARRAY['{}'], '{}', '{}', '{}', '{}', NULL)"
)


@pytest.fixture
def owner() -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings.DATABASE_DIRECT_URL, autocommit=True) as raw:
        yield raw


@pytest.fixture
def application() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as raw:
        yield raw


@pytest.fixture
def superuser() -> Iterator[psycopg.Connection]:
    name = connection.settings_dict["NAME"]
    url = settings.TEST_ADMIN_DATABASE_URL.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(url, autocommit=True) as raw:
        yield raw


def _journal(raw, *, count=2, kind="deposit_unmatched", closes=True, offset=1):
    """A journal as an attacker with the owner's rights would write it; its id."""
    journal_id = unique("jrn")
    sequence = raw.execute("SELECT sequence FROM billing.stream WHERE id = 0").fetchone()[0] + offset
    raw.execute(
        JOURNAL,
        {"id": journal_id, "sequence": sequence, "kind": kind, "count": count, "first": sequence, "closes": closes},
    )
    return journal_id


def _postings(raw, journal_id, amounts, lines=None):
    raw.execute(
        POSTING,
        {
            "id": journal_id,
            "lines": lines or list(range(1, len(amounts) + 1)),
            "amounts": amounts,
            "denomination": ledger.USDC,
        },
    )


@pytest.fixture
def written():
    [result] = append([suspense_journal()])
    return result


@pytest.mark.parametrize("table", KEPT)
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
def test_nobody_rewrites_history(owner, application, table, verb):
    column = owner.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 1 AND attidentity = ''"
        " ORDER BY attnum LIMIT 1",
        [f"billing.{table}"],
    ).fetchone()[0]
    statement = {
        "UPDATE": f"UPDATE billing.{table} SET {column} = {column}",
        "DELETE": f"DELETE FROM billing.{table}",
        "TRUNCATE": f"TRUNCATE billing.{table} CASCADE",
    }[verb]
    if verb != "UPDATE" or table in APPEND_ONLY:
        with pytest.raises(errors.RestrictViolation):
            owner.execute(statement)
    if (verb, table) != ("UPDATE", "dead_letter"):
        with pytest.raises(errors.InsufficientPrivilege):
            application.execute(statement)


@pytest.mark.parametrize(
    "verb", ["UPDATE billing.posting SET amount = 1", "DELETE FROM billing.journal", "TRUNCATE billing.posting"]
)
def test_replica_mode_switches_no_guard_off(superuser, verb):
    with superuser.transaction(force_rollback=True):
        superuser.execute("SET LOCAL session_replication_role = replica")
        with pytest.raises(errors.RestrictViolation):
            superuser.execute(verb)


def test_every_guard_is_enabled_always(owner):
    assert owner.execute(
        "SELECT count(*) FILTER (WHERE tgenabled <> 'A'), count(*) > 30 FROM pg_trigger t"
        " JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'billing'::regnamespace AND NOT tgisinternal"
    ).fetchone() == (0, True)


def test_a_session_setting_does_not_step_the_guards_aside(application, written):
    application.execute("SET pgtrigger.ignore = 'billing'")
    with pytest.raises(errors.InsufficientPrivilege):
        application.execute("DELETE FROM billing.posting")


def test_an_unbalanced_journal_is_refused_by_the_statement(owner, written):
    with owner.transaction(force_rollback=True):
        journal_id = _journal(owner)
        with pytest.raises(errors.CheckViolation):
            _postings(owner, journal_id, [5, -4])


def test_a_journal_without_postings_is_refused_at_commit(owner, written):
    with pytest.raises(errors.CheckViolation), owner.transaction():
        _journal(owner)


def test_a_journal_that_does_not_close_its_batch_is_refused_at_once(owner, written):
    with owner.transaction(force_rollback=True), pytest.raises(errors.CheckViolation):
        _journal(owner, closes=False)


def test_a_whole_journal_that_does_not_advance_its_stream_is_refused_at_commit(owner, written):
    with pytest.raises(errors.CheckViolation), owner.transaction():
        _postings(owner, _journal(owner), [5, -5])


def test_a_kind_that_does_not_exist_is_refused_at_commit(owner, written):
    with pytest.raises(errors.CheckViolation), owner.transaction():
        _journal(owner, count=0, kind="my_own_kind")


def test_one_posting_is_no_journal(owner, written):
    with owner.transaction(force_rollback=True), pytest.raises(errors.CheckViolation):
        _journal(owner, count=1)


@pytest.mark.parametrize("lines", [[1, 2], [3, 4]], ids=["same lines", "further lines"])
def test_a_balanced_pair_added_to_an_old_journal_is_refused(owner, written, lines):
    with owner.transaction(force_rollback=True), pytest.raises((errors.CheckViolation, errors.UniqueViolation)):
        _postings(owner, written.journal_id, [5, -5], lines)


def test_a_pair_added_after_constraints_were_fired_early_is_refused(owner, written):
    with owner.transaction(force_rollback=True):
        journal_id = _journal(owner)
        _postings(owner, journal_id, [5, -5])
        with pytest.raises(errors.CheckViolation):
            owner.execute("SET CONSTRAINTS ALL IMMEDIATE")
        # The transaction is broken by then; nothing of it can be committed.
        with pytest.raises(errors.InFailedSqlTransaction):
            _postings(owner, journal_id, [777], [3])


@pytest.mark.parametrize("amount", ["0", "NaN", "Infinity", "9223372036854775808", "-9223372036854775808", "1e30"])
def test_the_database_refuses_what_is_no_amount(owner, written, amount):
    with owner.transaction(force_rollback=True):
        journal_id = _journal(owner)
        with pytest.raises((errors.CheckViolation, errors.NumericValueOutOfRange, errors.FeatureNotSupported)):
            _postings(owner, journal_id, [amount, "1"])


def test_a_shadowing_temporary_table_changes_nothing(owner, written):
    with owner.transaction(force_rollback=True):
        owner.execute("CREATE TEMP TABLE posting (LIKE billing.posting)")
        owner.execute("CREATE TEMP TABLE journal (LIKE billing.journal)")
        owner.execute("CREATE TEMP TABLE account AS SELECT * FROM billing.account")
        owner.execute("SET LOCAL search_path = pg_temp, billing, pg_catalog")
        journal_id = _journal(owner)
        with pytest.raises(errors.CheckViolation):
            _postings(owner, journal_id, [1_000_000])


def test_copy_meets_the_same_guards(owner, written):
    account_id = owner.execute("SELECT min(id) FROM billing.account").fetchone()[0]
    with owner.transaction(force_rollback=True):
        journal_id = _journal(owner)
        with pytest.raises(errors.CheckViolation), owner.cursor().copy("COPY billing.posting FROM STDIN") as copy:
            copy.write_row((journal_id, 1, account_id, 9999, 1, 5, 0))


def test_an_account_of_postings_can_be_neither_removed_nor_given_another_denomination(owner):
    for statement in (
        "DELETE FROM billing.account WHERE name = 'system:suspense'",
        "UPDATE billing.account SET denomination = 'MicroUSD' WHERE name = 'system:suspense'",
    ):
        with pytest.raises(errors.RestrictViolation):
            owner.execute(statement)


def test_a_sharded_account_can_have_no_limit(owner):
    with owner.transaction(force_rollback=True), pytest.raises(errors.CheckViolation):
        owner.execute("UPDATE billing.account_shape SET floor = 0 WHERE name = 'treasury'")


def test_a_version_of_an_account_can_be_stored_once(owner, written):
    with owner.transaction(force_rollback=True):
        owner.execute("ALTER TABLE billing.posting DISABLE TRIGGER postings_are_whole")
        with pytest.raises(errors.UniqueViolation):
            owner.execute(
                "INSERT INTO billing.posting SELECT journal_id, 50::smallint, account_id, shard, version, amount,"
                " balance_after FROM billing.posting WHERE journal_id = %s AND line = 1",
                [written.journal_id],
            )


def test_the_application_may_only_read_and_call(application):
    granted = application.execute(
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'billing'::regnamespace"
        " AND has_function_privilege(current_user, p.oid, 'EXECUTE') ORDER BY 1"
    ).fetchall()
    written = application.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind = 'r'"
        " AND has_table_privilege(current_user, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') ORDER BY 1"
    ).fetchall()

    assert [row[0] for row in granted] == [
        "acquire_stream",
        "append_batch",
        "canonical_journal",
        "canonical_postings",
        "close_period",
        "enter_recovery",
        "extend_hold",
        "grant_approval",
        "open_inline_streams",
        "past_now",
        "release_stream",
        "request_approval",
        "target_version",
    ]
    assert [row[0] for row in written] == ["anchor", "dead_letter"]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_the_ledger_is_written_at_read_committed_only(application, level):
    with application.transaction(force_rollback=True):
        application.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        with pytest.raises(errors.InvalidTransactionState):
            application.execute(CALL, {"kind": "{state_change}", "sizes": "{0}"})


def test_sizes_that_do_not_fit_the_postings_are_refused(application):
    with pytest.raises(errors.InvalidParameterValue):
        application.execute(CALL, {"kind": "{deposit_unmatched}", "sizes": "{2}"})


@pytest.mark.parametrize(
    "states",
    [
        ("IDLE",),
        ("COMMITTED",),
        ("FINALIZE_ACKED",),
        ("RELEASED",),
        ("RESERVE_HELD", "FINALIZE_ACKED"),
        ("RESERVE_HELD", "VOIDED"),
    ],
    ids="→".join,
)
def test_an_entry_moves_only_along_the_table_for_the_owner_too(owner, states):
    entry_id = unique("ent")
    statements = [
        "INSERT INTO billing.billing_entry (id, state, account_id, denomination, funding, held_amount, created_at,"
        " updated_at) VALUES (%(id)s, %(state)s, 'acc', 'MicroUSD', 'prepaid', 1, now(), now())",
        *["UPDATE billing.billing_entry SET state = %(state)s WHERE id = %(id)s"] * (len(states) - 1),
    ]
    with owner.transaction(force_rollback=True):
        for statement, state in list(zip(statements, states, strict=True))[:-1]:
            owner.execute(statement, {"id": entry_id, "state": state})
        with pytest.raises(errors.CheckViolation):
            owner.execute(statements[-1], {"id": entry_id, "state": states[-1]})


def test_a_hold_on_settled_money_can_have_no_expiry(owner):
    with pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(
            "INSERT INTO billing.billing_entry (id, state, account_id, denomination, funding, held_amount, created_at,"
            " updated_at, expires_at) VALUES (%s, 'RESERVE_HELD', 'acc', 'MicroUSD', 'x402', 1, now(), now(), now())",
            [unique("ent")],
        )
