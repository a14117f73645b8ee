-- Accounts on first use, and who may write a stream.

-- Opens accounts that are not there yet and the balance rows this stream needs. Refuses a name or denomination that fits no shape.
CREATE FUNCTION billing.open_accounts(p_names text[], p_denominations text[], p_stream integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp AS $$
BEGIN
    -- In name order, so that two batches which open the same accounts wait for each other instead of for ever.
    INSERT INTO billing.account (name, denomination, shape, owner)
    SELECT wanted.name, wanted.denomination, s.number, CASE WHEN s.owner = '' THEN '' ELSE substring(wanted.name FROM s.pattern) END
    FROM (SELECT DISTINCT u.name COLLATE "C" AS name, u.denomination COLLATE "C" AS denomination
          FROM unnest(p_names, p_denominations) AS u(name, denomination)) wanted
    JOIN billing.account_shape s ON wanted.name ~ s.pattern AND wanted.denomination ~ s.denomination_pattern
    WHERE (s.name <> 'treasury' OR wanted.name LIKE 'treasury:usdc\_received:' || replace(wanted.denomination, '/erc20:', ':') || ':%')
      AND NOT EXISTS (SELECT FROM billing.account a WHERE a.name = wanted.name AND a.denomination = wanted.denomination)
    ORDER BY wanted.name, wanted.denomination
    ON CONFLICT (name, denomination) DO NOTHING;

    INSERT INTO billing.balance (account_id, shard, floor, cap)
    SELECT a.id, CASE WHEN s.is_sharded THEN p_stream ELSE 0 END, s.floor, s.cap
    FROM unnest(p_names, p_denominations) AS u(name, denomination)
    JOIN billing.account a ON a.name = u.name AND a.denomination = u.denomination
    JOIN billing.account_shape s ON s.number = a.shape
    GROUP BY a.id, s.is_sharded, s.floor, s.cap
    ORDER BY a.id
    ON CONFLICT (account_id, shard) DO NOTHING;
END $$;

-- The length-prefixed canonical form of a journal; what the hash chain covers. Integers end with a comma, texts carry their length.
CREATE FUNCTION billing.canonical_journal(p billing.journal, p_postings text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT p.stream || ',' || p.sequence || ',' || (extract(epoch FROM p.effective_at) * 1000000)::bigint || ','
        || (extract(epoch FROM p.recorded_at) * 1000000)::bigint || ',' || encode(p.body_hash, 'hex') || ','
        || octet_length(p.id) || ':' || p.id || octet_length(p.kind) || ':' || p.kind || octet_length(p.key) || ':' || p.key
        || octet_length(p.correlation_id) || ':' || p.correlation_id || octet_length(p.metadata::text) || ':' || p.metadata::text
        || octet_length(coalesce(p.entry_id, '')) || ':' || coalesce(p.entry_id, '')
        || octet_length(coalesce(p.approval_id, '')) || ':' || coalesce(p.approval_id, '')
        || octet_length(coalesce(p.reverses, '')) || ':' || coalesce(p.reverses, '') || p.posting_count || ';' || p_postings
$$;

-- The postings' part of that form: account, shard, version, amount, balance after, of each line in order.
CREATE FUNCTION billing.canonical_postings(p_journal_id text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(account_id || ',' || shard || ',' || version || ',' || amount || ',' || balance_after || ';', '' ORDER BY line), '')
    FROM billing.posting WHERE journal_id = p_journal_id
$$;

-- A journal without postings written by the database itself, at the end of a stream whose row the caller has locked.
CREATE FUNCTION billing.append_notice(p_stream integer, p_kind text, p_key text, p_metadata jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp AS $$
DECLARE
    stream_row billing.stream;
    notice billing.journal;
BEGIN
    SELECT * INTO STRICT stream_row FROM billing.stream WHERE id = p_stream FOR UPDATE;
    notice.id := 'jrn_' || upper(replace(gen_random_uuid()::text, '-', ''));
    notice.stream := p_stream;
    notice.sequence := stream_row.sequence + 1;
    notice.kind := p_kind;
    notice.key := p_key;
    notice.body_hash := sha256(convert_to(octet_length(p_key) || ':' || p_key || p_metadata::text, 'UTF8'));
    notice.previous_hash := stream_row.head;
    notice.posting_count := 0;
    notice.recorded_at := greatest(clock_timestamp(), stream_row.last_recorded_at);
    notice.effective_at := notice.recorded_at;
    notice.correlation_id := '';
    notice.metadata := p_metadata;
    notice.schema_version := 1;
    notice.batch_first := notice.sequence;
    notice.closes_batch := true;
    notice.hash := sha256(notice.previous_hash || convert_to(billing.canonical_journal(notice, ''), 'UTF8'));
    INSERT INTO billing.idempotency_key VALUES (p_key, notice.body_hash, notice.id);
    INSERT INTO billing.journal SELECT notice.*;
    UPDATE billing.stream SET sequence = notice.sequence, head = notice.hash, last_recorded_at = notice.recorded_at WHERE id = p_stream;
END $$;

-- Makes a stream. Its birth is a journal in stream 0, so that a stream which vanishes leaves a trace (rule R30).
CREATE FUNCTION billing.open_stream(p_id integer, p_lane text) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp AS $$
DECLARE
    new_id integer := p_id;
    inherited timestamptz;
BEGIN
    PERFORM FROM billing.stream WHERE id = 0 FOR UPDATE;
    SELECT coalesce(p_id, max(id) + 1), max(closed_until) INTO new_id, inherited FROM billing.stream;
    IF EXISTS (SELECT FROM billing.stream WHERE id = new_id) THEN
        RETURN new_id;
    END IF;
    INSERT INTO billing.stream (id, lane, head, closed_until)
    VALUES (new_id, p_lane, sha256(convert_to('loa.stream:' || new_id, 'UTF8')), inherited);
    PERFORM billing.append_notice(0, 'stream_opened', 'stream:' || new_id, jsonb_build_object('stream', new_id, 'lane', p_lane));
    RETURN new_id;
END $$;

-- Takes a stream for `p_holder`: a given one, or the first that is free, or a new one. The lease counts only because this very
-- statement advances the row with the holder's first token (rule R8). Without a token (no Redis) the row issues it itself.
CREATE FUNCTION billing.acquire_stream(
    p_holder text, p_lease_seconds integer, p_stream integer DEFAULT NULL, p_token bigint DEFAULT NULL,
    OUT stream integer, OUT epoch bigint, OUT token bigint, OUT status text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    stream_row billing.stream;
BEGIN
    IF p_holder = '' OR p_lease_seconds NOT BETWEEN 1 AND 3600 THEN
        RAISE EXCEPTION 'a stream is leased by a named holder for 1 to 3600 seconds' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_stream IS NULL THEN
        SELECT s.* INTO stream_row FROM billing.stream s
        WHERE s.lane = 'writer' AND (s.lease_until <= clock_timestamp() OR s.holder = p_holder)
        ORDER BY s.id LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            p_stream := billing.open_stream(NULL, 'writer');
        END IF;
    ELSIF NOT EXISTS (SELECT FROM billing.stream s WHERE s.id = p_stream) THEN
        p_stream := billing.open_stream(p_stream, 'writer');
    END IF;
    IF p_stream IS NOT NULL THEN
        SELECT s.* INTO STRICT stream_row FROM billing.stream s WHERE s.id = p_stream FOR UPDATE;
    END IF;
    stream := stream_row.id;
    epoch := stream_row.epoch;
    token := stream_row.last_token;
    IF stream_row.lane <> 'writer' OR (p_token IS NULL AND stream_row.holder <> p_holder AND stream_row.lease_until > clock_timestamp()) THEN
        status := 'held';
        RETURN;
    END IF;
    IF p_token IS NOT NULL AND p_token <= stream_row.last_token THEN
        status := 'stale_token';
        RETURN;
    END IF;
    token := coalesce(p_token, stream_row.last_token + 1);
    epoch := stream_row.epoch + 1;
    status := 'ok';
    UPDATE billing.stream s SET holder = p_holder, epoch = stream_row.epoch + 1, last_token = token,
        lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
    WHERE s.id = stream_row.id;
END $$;

CREATE FUNCTION billing.release_stream(p_stream integer, p_holder text, p_epoch bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET lock_timeout = '5s' AS $$
BEGIN
    UPDATE billing.stream SET lease_until = clock_timestamp() WHERE id = p_stream AND holder = p_holder AND epoch = p_epoch;
    RETURN FOUND;
END $$;

-- Closes every stream up to a moment, all in one transaction, so that no batch in flight posts into the closed period (rule R31).
CREATE FUNCTION billing.close_period(p_until timestamptz, p_closed_by text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET lock_timeout = '30s' AS $$
DECLARE
    stream_count integer;
BEGIN
    IF p_until >= clock_timestamp() OR p_closed_by = '' THEN
        RAISE EXCEPTION 'a period is closed by somebody, and only once it is over' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM FROM billing.stream ORDER BY id FOR UPDATE;
    UPDATE billing.stream SET closed_until = greatest(closed_until, p_until);
    GET DIAGNOSTICS stream_count = ROW_COUNT;
    PERFORM billing.append_notice(0, 'period_closed', 'period:' || (extract(epoch FROM p_until) * 1000000)::bigint,
                                  jsonb_build_object('until', p_until, 'closed_by', p_closed_by));
    RETURN stream_count;
END $$;

-- A heartbeat's renewal of a prepaid hold, by the database's clock; never shortens one.
CREATE FUNCTION billing.extend_hold(p_entry_id text, p_seconds integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp SET lock_timeout = '5s' AS $$
BEGIN
    UPDATE billing.billing_entry e SET expires_at = greatest(e.expires_at, clock_timestamp() + make_interval(secs => least(p_seconds, 86400))),
        lease_until = clock_timestamp() + make_interval(secs => least(p_seconds, 86400))
    WHERE e.id = p_entry_id AND e.state = 'RESERVE_HELD' AND e.funding = 'prepaid';
    RETURN FOUND;
END $$;

-- Registers a table of another app whose guarded state changes may travel with a journal. Called by that app's migration.
CREATE FUNCTION billing.register_transition_table(
    p_name text, p_relation regclass, p_state_column text, p_attempt_column text, p_allowed_columns text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp AS $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(wanted.name, ', ') INTO missing
    FROM unnest(ARRAY['id', p_state_column, p_attempt_column] || p_allowed_columns) AS wanted(name)
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = p_relation AND a.attname = wanted.name AND NOT a.attisdropped);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION '% has no column %', p_relation, missing USING ERRCODE = 'undefined_column';
    END IF;
    IF p_state_column = ANY (p_allowed_columns) OR p_attempt_column = ANY (p_allowed_columns) OR 'id' = ANY (p_allowed_columns) THEN
        RAISE EXCEPTION 'id, state and attempt are never among the columns a journal may change' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO billing.transition_table VALUES (p_name, p_relation, p_state_column, p_attempt_column, p_allowed_columns)
    ON CONFLICT (name) DO UPDATE SET relation = excluded.relation, state_column = excluded.state_column,
        attempt_column = excluded.attempt_column, allowed_columns = excluded.allowed_columns;
END $$;

INSERT INTO billing.stream (id, lane, head) VALUES (0, 'writer', sha256(convert_to('loa.stream:0', 'UTF8')));
