-- The in-transaction lane has streams before anybody needs one. Opening a stream locks stream 0, and a caller that opened one in
-- its own transaction would keep every writer of stream 0 waiting until it commits (rule R29).

-- Opens inline streams until there are so many; to be called in a transaction of its own, which ends at once.
CREATE FUNCTION billing.open_inline_streams(p_wanted integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    missing integer := least(p_wanted, 16) - (SELECT count(*) FROM billing.stream s WHERE s.lane = 'inline');
BEGIN
    IF missing > 0 THEN
        PERFORM FROM billing.stream WHERE id = 0 FOR UPDATE;
        missing := least(p_wanted, 16) - (SELECT count(*) FROM billing.stream s WHERE s.lane = 'inline');
        FOR _ IN 1..missing LOOP
            PERFORM billing.open_stream(NULL, 'inline');
        END LOOP;
    END IF;
    RETURN greatest(missing, 0);
END $$;

-- A free stream, else the turn at one that is taken; a new one only when there is none at all.
CREATE OR REPLACE FUNCTION billing.lock_inline_stream() RETURNS billing.stream LANGUAGE plpgsql AS $$
DECLARE
    stream_row billing.stream;
    new_id integer;
BEGIN
    IF EXISTS (SELECT FROM billing.stream s WHERE s.last_transaction = pg_current_xact_id_if_assigned()) THEN
        RAISE EXCEPTION 'a transaction appends to the ledger once; put all its journals into one call' USING ERRCODE = 'object_in_use';
    END IF;
    SELECT s.* INTO stream_row FROM billing.stream s WHERE s.lane = 'inline' ORDER BY s.id LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        RETURN stream_row;
    END IF;
    SELECT s.id INTO new_id FROM billing.stream s WHERE s.lane = 'inline' ORDER BY (s.id + pg_backend_pid()) % 7, s.id LIMIT 1;
    -- In a statement of its own: the one that reads a new row must see it.
    new_id := coalesce(new_id, billing.open_stream(NULL, 'inline'));
    SELECT s.* INTO STRICT stream_row FROM billing.stream s WHERE s.id = new_id FOR UPDATE;
    RETURN stream_row;
END $$;

CREATE FUNCTION billing.grant_inline_lane_to(p_role text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = p_role) OR p_role = current_user THEN
        RETURN false;
    END IF;
    EXECUTE format('GRANT EXECUTE ON FUNCTION billing.open_inline_streams TO %I', p_role);
    RETURN true;
END $$;

REVOKE ALL ON FUNCTION billing.open_inline_streams, billing.grant_inline_lane_to FROM PUBLIC;
