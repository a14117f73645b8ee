-- The second net below the append function: triggers that hold for everyone, owner and replica mode included (ENABLE ALWAYS).
-- Names are qualified and checks are in aggregate form: a temporary table cannot shadow them, and no plan made while the
-- tables were empty is cached for the life of a connection. The two statement triggers run in the append function's settings.

CREATE FUNCTION billing.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'billing.% is append-only: % is refused; corrections are new journals', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

-- Every INSERT statement of postings holds whole journals: lines 1..posting_count, each on a known account, zero per denomination.
-- A journal that has its postings can get no others: its lines are taken, and a line beyond posting_count is refused.
CREATE FUNCTION billing.check_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    bad_count bigint;
    bad_journal text;
BEGIN
    SELECT count(*), min(whole.journal_id) INTO bad_count, bad_journal
    FROM (
        SELECT part.journal_id
        FROM (
            SELECT p.journal_id, a.denomination, sum(p.amount) AS total, count(*) AS lines, min(p.line) AS first_line,
                   max(p.line) AS last_line, count(a.id) AS known, max(j.posting_count) AS expected
            FROM new_postings p
            LEFT JOIN billing.journal j ON j.id = p.journal_id
            LEFT JOIN billing.account a ON a.id = p.account_id
            GROUP BY p.journal_id, a.denomination
        ) part
        GROUP BY part.journal_id
        HAVING bool_or(part.total <> 0) OR sum(part.lines) IS DISTINCT FROM max(part.expected)::numeric
            OR sum(part.known) <> sum(part.lines) OR min(part.first_line) <> 1 OR max(part.last_line) IS DISTINCT FROM max(part.expected)
    ) whole;
    IF bad_count > 0 THEN
        RAISE EXCEPTION 'journal % is not whole: unknown account or journal, wrong lines, or not zero in every denomination', bad_journal
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

-- One row per INSERT statement closes its batch, so that the deferred check below runs once per batch and not once per journal.
CREATE FUNCTION billing.check_journals() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_whole boolean;
BEGIN
    -- An INSERT of no rows has nothing to close.
    SELECT count(*) = 0 OR (min(n.stream) = max(n.stream) AND count(*) FILTER (WHERE n.closes_batch) = 1
        AND min(n.batch_first) = max(n.batch_first) AND min(n.sequence) = min(n.batch_first)
        AND max(n.sequence) - min(n.sequence) + 1 = count(*) AND max(n.sequence) FILTER (WHERE n.closes_batch) = max(n.sequence))
    INTO is_whole FROM new_journals n;
    IF NOT is_whole THEN
        RAISE EXCEPTION 'journals of one statement must follow each other in their stream and end with one that closes the batch'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION billing.check_batch_has_postings() RETURNS trigger
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET join_collapse_limit = 1 SET jit = off AS $$
DECLARE
    bad_count bigint;
BEGIN
    SELECT count(*) INTO bad_count
    FROM billing.journal j
    LEFT JOIN billing.journal_kind k ON k.kind = j.kind
    LEFT JOIN billing.stream s ON s.id = j.stream AND s.sequence >= j.sequence
    WHERE j.stream = NEW.stream AND j.sequence BETWEEN NEW.batch_first AND NEW.sequence
      AND (k.kind IS NULL OR s.id IS NULL OR k.has_postings <> (j.posting_count > 0)
           OR j.posting_count <> (SELECT count(*) FROM billing.posting p WHERE p.journal_id = j.id));
    IF bad_count > 0 THEN
        RAISE EXCEPTION 'a journal up to % of stream % lacks its postings or its kind, or its stream was not advanced', NEW.sequence, NEW.stream
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION billing.check_entry_lifecycle() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed bigint;
    old_state text := CASE WHEN TG_OP = 'INSERT' THEN 'IDLE' ELSE OLD.state END;
BEGIN
    SELECT count(*) INTO allowed FROM billing.entry_lifecycle l WHERE l.from_state = old_state AND l.to_state = NEW.state;
    IF allowed = 0 THEN
        RAISE EXCEPTION 'billing entry % may not move from % to %', NEW.id, old_state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER postings_are_whole AFTER INSERT ON billing.posting
    REFERENCING NEW TABLE AS new_postings FOR EACH STATEMENT EXECUTE FUNCTION billing.check_postings();
CREATE TRIGGER journals_follow_each_other AFTER INSERT ON billing.journal
    REFERENCING NEW TABLE AS new_journals FOR EACH STATEMENT EXECUTE FUNCTION billing.check_journals();
CREATE CONSTRAINT TRIGGER batch_has_postings AFTER INSERT ON billing.journal DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.closes_batch) EXECUTE FUNCTION billing.check_batch_has_postings();
-- The one birth there is and updates that move nothing are most of all calls: they do not reach the function.
CREATE TRIGGER entry_birth BEFORE INSERT ON billing.billing_entry
    FOR EACH ROW WHEN (NEW.state <> 'RESERVE_HELD') EXECUTE FUNCTION billing.check_entry_lifecycle();
CREATE TRIGGER entry_lifecycle BEFORE UPDATE ON billing.billing_entry
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION billing.check_entry_lifecycle();

ALTER TABLE billing.posting ENABLE ALWAYS TRIGGER postings_are_whole;
ALTER TABLE billing.journal ENABLE ALWAYS TRIGGER journals_follow_each_other;
ALTER TABLE billing.journal ENABLE ALWAYS TRIGGER batch_has_postings;
ALTER TABLE billing.billing_entry ENABLE ALWAYS TRIGGER entry_birth;
ALTER TABLE billing.billing_entry ENABLE ALWAYS TRIGGER entry_lifecycle;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['journal', 'posting', 'idempotency_key', 'account', 'credit_note_movement', 'approval', 'approval_grant', 'anchor'] LOOP
        EXECUTE format('CREATE TRIGGER no_update BEFORE UPDATE ON billing.%I FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change()', name);
        EXECUTE format('ALTER TABLE billing.%I ENABLE ALWAYS TRIGGER no_update', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['journal', 'posting', 'idempotency_key', 'account', 'balance', 'stream', 'billing_entry', 'credit_note',
                                'credit_note_movement', 'approval', 'approval_grant', 'anchor', 'dead_letter', 'daily_use'] LOOP
        EXECUTE format('CREATE TRIGGER no_delete BEFORE DELETE ON billing.%I FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change()', name);
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON billing.%I FOR EACH STATEMENT EXECUTE FUNCTION billing.refuse_change()', name);
        EXECUTE format('ALTER TABLE billing.%I ENABLE ALWAYS TRIGGER no_delete', name);
        EXECUTE format('ALTER TABLE billing.%I ENABLE ALWAYS TRIGGER no_truncate', name);
    END LOOP;
END $$;
