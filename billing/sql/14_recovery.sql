-- The past of this database, as people accepted it (rule R10). The last row is what holds: open, or accepted.
-- Rows are only added by the functions here; the application may enter recovery, only the owner may end it.

CREATE TABLE billing.recovery (
    sequence   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 40),
    server     text NOT NULL,
    timeline   integer NOT NULL,
    reasons    text[] NOT NULL,
    forgotten  text NOT NULL DEFAULT '',  -- the acceptance that a note outside names and this database never saw
    entered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz,
    ended_by   text NOT NULL DEFAULT '',
    end_reason text NOT NULL DEFAULT '',
    report     jsonb NOT NULL DEFAULT '{}',
    CHECK (ended_at IS NULL OR ended_by <> '')
);
CREATE UNIQUE INDEX recovery_one_open ON billing.recovery ((ended_at IS NULL)) WHERE ended_at IS NULL;

-- Where the server is now. NULL on a standby, which has no position of its own to judge.
CREATE FUNCTION billing.place_now(OUT server text, OUT timeline integer, OUT reached bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN;
    END IF;
    SELECT c.system_identifier::text, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer,
           (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint
      INTO server, timeline, reached FROM pg_control_system() c;
END $$;

CREATE FUNCTION billing.past_now(
    p_noted_id text, OUT server text, OUT timeline integer, OUT reached bigint, OUT recovery_id text,
    OUT accepted_server text, OUT accepted_timeline integer, OUT is_open boolean, OUT is_noted_known boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp AS $$
    SELECT n.server, n.timeline, n.reached, r.id, r.server, r.timeline, r.ended_at IS NULL,
           p_noted_id = '' OR EXISTS (
               SELECT FROM billing.recovery k
               WHERE k.id = p_noted_id OR (k.forgotten = p_noted_id AND k.ended_at IS NOT NULL))
      FROM billing.place_now() n, (SELECT * FROM billing.recovery ORDER BY sequence DESC LIMIT 1) r
$$;

-- Open a recovery, once however many ask; the id of the one that is open.
CREATE FUNCTION billing.enter_recovery(p_id text, p_reasons text[], p_noted_id text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp AS $$
BEGIN
    INSERT INTO billing.recovery (id, server, timeline, reasons, forgotten)
    SELECT p_id, n.server, n.timeline, p_reasons,
           CASE WHEN EXISTS (SELECT FROM billing.recovery k WHERE k.id = p_noted_id) THEN '' ELSE p_noted_id END
      FROM billing.place_now() n
    ON CONFLICT DO NOTHING;
    RETURN (SELECT r.id FROM billing.recovery r WHERE r.ended_at IS NULL);
END $$;

-- Accept the past as it is now. NULL when nothing is open.
CREATE FUNCTION billing.end_recovery(p_by text, p_reason text, p_report jsonb) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp AS $$
    UPDATE billing.recovery r
       SET server = n.server, timeline = n.timeline, ended_at = clock_timestamp(), ended_by = p_by,
           end_reason = p_reason, report = p_report
      FROM billing.place_now() n WHERE r.ended_at IS NULL RETURNING r.id
$$;

CREATE FUNCTION billing.grant_recovery_to(p_role text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = p_role) OR p_role = current_user THEN
        RETURN false;
    END IF;
    EXECUTE format('GRANT SELECT ON billing.recovery TO %I', p_role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION billing.past_now, billing.enter_recovery TO %I', p_role);
    RETURN true;
END $$;

REVOKE ALL ON TABLE billing.recovery FROM PUBLIC;
REVOKE ALL ON FUNCTION billing.place_now, billing.past_now, billing.enter_recovery, billing.end_recovery,
    billing.grant_recovery_to FROM PUBLIC;

-- Nothing was forgotten yet: the first past is accepted by being the first.
INSERT INTO billing.recovery (id, server, timeline, reasons, ended_at, ended_by, end_reason)
SELECT 'rec_' || gen_random_uuid()::text, n.server, n.timeline, '{installed}', clock_timestamp(), 'migration',
       'the first past of this ledger'
  FROM billing.place_now() n;
