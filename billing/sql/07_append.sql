-- The one verb of the ledger: append a batch of journals, with a result for each.
-- Order of locks (rule R28): stream row; entries and registered rows by id; balances by account; then keys in a new statement.
-- Every journal is decided in order, in memory, before the first INSERT (rule R9).

-- The in-transaction lane: a stream nobody leases, kept until the caller commits, and only one per transaction (rule R29).
CREATE FUNCTION billing.lock_inline_stream() RETURNS billing.stream LANGUAGE plpgsql AS $$
DECLARE
    stream_row billing.stream;
    new_id integer;
BEGIN
    IF EXISTS (SELECT FROM billing.stream s WHERE s.last_transaction = pg_current_xact_id_if_assigned()) THEN
        RAISE EXCEPTION 'a transaction appends to the ledger once; put all its journals into one call' USING ERRCODE = 'object_in_use';
    END IF;
    SELECT s.* INTO stream_row FROM billing.stream s WHERE s.lane = 'inline' ORDER BY s.id LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- In a statement of its own: the one that reads the new row must see it.
        new_id := billing.open_stream(NULL, 'inline');
        SELECT s.* INTO STRICT stream_row FROM billing.stream s WHERE s.id = new_id FOR UPDATE;
    END IF;
    RETURN stream_row;
END $$;

CREATE FUNCTION billing.append_batch(
    p_stream integer, p_holder text, p_epoch bigint, p_token bigint, p_lease_seconds integer,
    p_ids text[], p_keys text[], p_hashes bytea[], p_kinds text[], p_sizes integer[], p_correlations text[], p_metadata text[],
    p_names text[], p_denominations text[], p_posting_accounts integer[], p_amounts bigint[], p_options jsonb,
    OUT stream integer, OUT token bigint, OUT first_sequence bigint, OUT statuses text, OUT hashes bytea, OUT details jsonb)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, billing, pg_temp SET lock_timeout = '5s' SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET join_collapse_limit = 1 SET jit = off AS $$
DECLARE
    largest CONSTANT bigint := 9223372036854775807;
    journal_count CONSTANT integer := cardinality(p_ids);
    stream_row billing.stream;
    recorded timestamptz;
    account_ids bigint[]; shards integer[]; positions bigint[]; versions bigint[]; floors bigint[]; caps bigint[]; bits bigint[]; owners text[];
    posted_before bigint[]; versions_before bigint[];
    allowed bigint[]; required bigint[]; guarded boolean[]; births_only boolean := false;
    found_keys text[]; found_hashes bytea[]; found_ids text[]; has_twins boolean;
    verdicts text[] := array_fill(''::text, ARRAY[greatest(cardinality(p_ids), 1)]);
    after bigint[] := array_fill(0::bigint, ARRAY[greatest(cardinality(p_amounts), 1)]);
    posting_versions bigint[] := after;
    posting_journals integer[] := array_fill(0, ARRAY[greatest(cardinality(p_amounts), 1)]);
    lines integer[] := posting_journals;
    effects billing.effects; effects_next billing.effects; effects_before billing.effects;
    verdict text; detail jsonb; option jsonb; is_linked boolean; group_start integer := 0;
    lo integer; hi integer := 0; reached integer; i integer; amount bigint; used bigint; user_owner text; wallet_owner text;
    accepted integer := 0; written integer; decided record; hold integer;
    birth_journals integer[] := '{}'; birth_places integer[] := '{}';
BEGIN
    details := '{}';
    IF p_correlations IS NULL THEN
        p_correlations := array_fill(''::text, ARRAY[journal_count]);
    END IF;
    IF journal_count NOT BETWEEN 1 AND 1000 OR cardinality(p_keys) <> journal_count OR cardinality(p_hashes) <> journal_count
       OR cardinality(p_kinds) <> journal_count OR cardinality(p_sizes) <> journal_count OR cardinality(p_correlations) <> journal_count
       OR cardinality(p_metadata) <> journal_count OR cardinality(p_names) <> cardinality(p_denominations)
       OR cardinality(p_posting_accounts) <> cardinality(p_amounts) THEN
        RAISE EXCEPTION 'the arrays of a batch do not fit each other' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the ledger is written at READ COMMITTED, not %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF p_stream IS NULL THEN
        stream_row := billing.lock_inline_stream();
    ELSE
        SELECT s.* INTO stream_row FROM billing.stream s WHERE s.id = p_stream FOR UPDATE;
        -- Equal or smaller tokens, another holder and an older epoch are stale: nothing is written (rule R8).
        IF stream_row.id IS NULL OR stream_row.holder <> p_holder OR stream_row.epoch <> p_epoch OR p_token <= stream_row.last_token THEN
            token := stream_row.last_token;
            details := jsonb_build_object('holder', stream_row.holder, 'epoch', stream_row.epoch);
            statuses := array_to_string(array_fill('stale_token'::text, ARRAY[journal_count]), ',');
            RETURN;
        END IF;
    END IF;
    stream := stream_row.id;
    token := coalesce(p_token, stream_row.last_token + 1);
    recorded := greatest(clock_timestamp(), stream_row.last_recorded_at);
    IF p_options IS NOT NULL THEN
        births_only := billing.has_births_only(p_options, p_sizes);
        IF NOT births_only THEN
            effects := billing.lock_effects(p_options);
        END IF;
    END IF;
    LOOP
        SELECT array_agg(b.account_id ORDER BY b.place), array_agg(b.shard ORDER BY b.place), array_agg(b.posted ORDER BY b.place),
               array_agg(b.version ORDER BY b.place), array_agg(b.floor ORDER BY b.place), array_agg(b.cap ORDER BY b.place),
               array_agg(1::bigint << (2 * b.shape) ORDER BY b.place), array_agg(b.owner ORDER BY b.place)
        INTO account_ids, shards, positions, versions, floors, caps, bits, owners
        FROM (SELECT u.place, a.shape, a.owner, b.* FROM unnest(p_names, p_denominations) WITH ORDINALITY AS u(name, denomination, place)
              JOIN billing.account a ON a.name = u.name AND a.denomination = u.denomination
              JOIN billing.account_shape s ON s.number = a.shape
              JOIN billing.balance b ON b.account_id = a.id AND b.shard = CASE WHEN s.is_sharded THEN stream_row.id ELSE 0 END
              ORDER BY b.account_id FOR UPDATE OF b) b;
        EXIT WHEN coalesce(cardinality(account_ids), 0) = cardinality(p_names);
        IF reached IS NOT NULL THEN
            RAISE EXCEPTION 'an account of the batch fits no shape of the chart' USING ERRCODE = 'check_violation';
        END IF;
        reached := 0;
        PERFORM billing.open_accounts(p_names, p_denominations, stream_row.id);
    END LOOP;
    SELECT array_agg(k.allowed_mask ORDER BY u.place), array_agg(k.required_mask ORDER BY u.place),
           array_agg(k.needs_entry OR k.needs_approval OR k.daily_limit IS NOT NULL ORDER BY u.place)
    INTO allowed, required, guarded
    FROM unnest(p_kinds) WITH ORDINALITY AS u(kind, place) LEFT JOIN billing.journal_kind k ON k.kind = u.kind;
    IF p_options IS NOT NULL AND NOT births_only THEN
        effects := billing.load_notes(effects, p_options, p_names, p_denominations);
    END IF;
    -- A statement of its own: what another batch inserted while this one waited for locks is seen only by a new snapshot.
    SELECT array_agg(k.key), array_agg(k.body_hash), array_agg(k.journal_id) INTO found_keys, found_hashes, found_ids
    FROM billing.idempotency_key k WHERE k.key = ANY (p_keys);
    has_twins := journal_count > 1 AND (SELECT count(*) <> count(DISTINCT u.key) FROM unnest(p_keys) AS u(key));

    FOR j IN 1..journal_count LOOP
        lo := hi + 1;
        hi := hi + p_sizes[j];
        IF hi < lo - 1 OR hi > cardinality(p_amounts) THEN
            RAISE EXCEPTION 'the sizes of the journals do not fit their postings' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        verdict := 'ok';
        detail := NULL;
        option := NULL;
        IF p_options IS NOT NULL THEN
            option := nullif(p_options -> (j - 1), 'null');
            is_linked := j < journal_count AND coalesce((option ->> 'linked')::boolean, false);
            IF group_start = 0 AND is_linked THEN
                group_start := j;
                posted_before := positions;
                versions_before := versions;
                effects_before := effects;
            END IF;
        END IF;
        effects_next := effects;
        reached := lo - 1;
        <<decide>>
        BEGIN
            IF found_keys IS NOT NULL OR has_twins THEN
                SELECT t.verdict, t.detail INTO verdict, detail
                FROM billing.find_key(p_keys, p_hashes, p_ids, verdicts, j, found_keys, found_hashes, found_ids) t;
                EXIT decide WHEN verdict <> 'ok';
            END IF;
            used := 0; user_owner := ''; wallet_owner := '';
            FOR p IN lo..hi LOOP
                i := p_posting_accounts[p];
                amount := p_amounts[p];
                IF amount > 0 THEN
                    used := used | (bits[i] << 1);
                    IF positions[i] > largest - amount THEN verdict := 'balance_out_of_range'; EXIT; END IF;
                ELSE
                    used := used | bits[i];
                    IF positions[i] < -largest - amount THEN verdict := 'balance_out_of_range'; EXIT; END IF;
                END IF;
                IF owners[i] <> '' THEN
                    -- Shapes 1 and 2 belong to an account of ours, the others with an owner to a wallet.
                    IF bits[i] <= 16 THEN
                        IF user_owner <> '' AND user_owner <> owners[i] THEN verdict := 'posting_refused'; EXIT; END IF;
                        user_owner := owners[i];
                    ELSE
                        IF wallet_owner <> '' AND wallet_owner <> owners[i] THEN verdict := 'posting_refused'; EXIT; END IF;
                        wallet_owner := owners[i];
                    END IF;
                END IF;
                positions[i] := positions[i] + amount;
                versions[i] := versions[i] + 1;
                after[p] := positions[i];
                posting_versions[p] := versions[i];
                posting_journals[p] := j;
                lines[p] := p - lo + 1;
                reached := p;
            END LOOP;
            EXIT decide WHEN verdict <> 'ok';
            IF allowed[j] IS NULL OR used & ~allowed[j] <> 0 OR used & required[j] <> required[j] OR (p_sizes[j] = 0) <> (allowed[j] = 0) THEN
                verdict := 'posting_refused';
                detail := jsonb_build_object('kind', p_kinds[j]);
                EXIT decide;
            END IF;
            IF hi - lo = 1 THEN
                IF p_amounts[lo] <> -p_amounts[hi]
                   OR p_denominations[p_posting_accounts[lo]] <> p_denominations[p_posting_accounts[hi]] THEN verdict := 'unbalanced'; END IF;
            ELSIF EXISTS (SELECT FROM unnest(p_posting_accounts[lo:hi], p_amounts[lo:hi]) AS u(place, amount)
                          GROUP BY p_denominations[u.place] HAVING sum(u.amount) <> 0) THEN
                verdict := 'unbalanced';
            END IF;
            EXIT decide WHEN verdict <> 'ok';
            IF births_only AND option IS NOT NULL THEN
                -- The common case without any query: a hold is born with exactly the money its journal holds.
                hold := CASE WHEN bits[p_posting_accounts[lo]] = 16 THEN lo ELSE hi END;
                IF used & 32 = 0 OR used & 208 <> 0 OR p_kinds[j] NOT IN ('billing_reserve', 'x402_settled')
                   OR user_owner IS DISTINCT FROM option #>> '{entry,account_id}' OR wallet_owner <> '' THEN
                    verdict := 'posting_refused';
                    detail := jsonb_build_object('kind', p_kinds[j], 'entry_id', option #>> '{entry,id}');
                    EXIT decide;
                END IF;
                birth_journals := birth_journals || j;
                birth_places := birth_places || hold;
            ELSIF option IS NOT NULL OR guarded[j] THEN
                SELECT d.* INTO decided
                FROM billing.decide_effects(effects, option, p_ids[j], p_kinds[j], p_metadata[j]::jsonb, p_posting_accounts[lo:hi],
                    p_amounts[lo:hi], bits, owners, p_names, p_denominations, user_owner, wallet_owner, recorded, stream_row.closed_until) d;
                verdict := decided.verdict; detail := decided.detail; effects_next := decided.effects;
                EXIT decide WHEN verdict <> 'ok';
            ELSIF used & 192 <> 0 THEN
                -- Credit notes move only with their note rows (rule R32).
                verdict := 'posting_refused';
                EXIT decide;
            END IF;
            FOR p IN lo..hi LOOP
                i := p_posting_accounts[p];
                IF positions[i] < floors[i] OR positions[i] > caps[i] THEN
                    SELECT t.verdict, t.detail INTO verdict, detail FROM billing.explain_limit(
                        p_names[i], positions[i], floors[i], caps[i],
                        (SELECT sum(u.amount) FROM unnest(p_posting_accounts[lo:hi], p_amounts[lo:hi]) AS u(place, amount) WHERE u.place = i)) t;
                    EXIT decide WHEN verdict <> 'ok';
                END IF;
            END LOOP;
        END decide;

        verdicts[j] := verdict;
        IF verdict = 'ok' THEN
            effects := effects_next;
            accepted := accepted + 1;
        ELSE
            FOR p IN lo..reached LOOP
                i := p_posting_accounts[p];
                positions[i] := positions[i] - p_amounts[p];
                versions[i] := versions[i] - 1;
            END LOOP;
        END IF;
        IF detail IS NOT NULL THEN
            details := jsonb_set(details, ARRAY[(j - 1)::text], detail);
        END IF;
        IF group_start > 0 AND NOT is_linked THEN
            -- The group ends here: journals that stand or fall together have one fate, and a replayed group is replayed whole.
            IF 'ok' = ANY (verdicts[group_start:j]) AND EXISTS (SELECT FROM unnest(verdicts[group_start:j]) AS u(v) WHERE u.v <> 'ok') THEN
                FOR k IN group_start..j LOOP
                    IF verdicts[k] = 'ok' THEN
                        verdicts[k] := 'linked_failed';
                        accepted := accepted - 1;
                    END IF;
                END LOOP;
                positions := posted_before;
                versions := versions_before;
                effects := effects_before;
            END IF;
            group_start := 0;
        END IF;
    END LOOP;

    IF hi <> cardinality(p_amounts) THEN
        RAISE EXCEPTION 'the sizes of the journals do not add up to their postings' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    first_sequence := stream_row.sequence + 1;
    IF accepted > 0 THEN
        INSERT INTO billing.idempotency_key (key, body_hash, journal_id)
        SELECT u.key, u.body_hash, u.id FROM unnest(p_keys, p_hashes, p_ids, verdicts) AS u(key, body_hash, id, verdict)
        WHERE u.verdict = 'ok' ORDER BY u.key COLLATE "C" ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written < accepted THEN
            RAISE EXCEPTION 'a key of the batch was taken by another batch meanwhile' USING ERRCODE = 'serialization_failure';
        END IF;
        SELECT c.hashes, c.head INTO hashes, stream_row.head FROM billing.write_journals(
            stream_row, recorded, p_ids, p_keys, p_hashes, p_kinds, p_sizes, p_correlations, p_metadata, p_options, verdicts, accepted,
            p_posting_accounts, p_amounts, account_ids, shards, posting_versions, after) c;
        IF cardinality(p_amounts) > 0 THEN
            INSERT INTO billing.posting (journal_id, line, account_id, shard, version, amount, balance_after)
            SELECT p_ids[u.journal], u.line, account_ids[u.account], shards[u.account], u.version, u.amount, u.balance_after
            FROM unnest(posting_journals, lines, p_posting_accounts, p_amounts, posting_versions, after)
                 AS u(journal, line, account, amount, version, balance_after)
            WHERE u.journal > 0 AND verdicts[u.journal] = 'ok';
            UPDATE billing.balance b SET posted = u.posted, version = u.version
            FROM unnest(account_ids, shards, positions, versions) AS u(account_id, shard, posted, version)
            WHERE b.account_id = u.account_id AND b.shard = u.shard AND b.version <> u.version;
        END IF;
        IF births_only THEN
            INSERT INTO billing.billing_entry (id, state, account_id, wallet, denomination, funding, held_amount, payment_id, correlation_id,
                                               expires_at, created_at, updated_at)
            SELECT e.value ->> 'id', 'RESERVE_HELD', e.value ->> 'account_id', coalesce(e.value ->> 'wallet', ''),
                   p_denominations[p_posting_accounts[u.place]], e.value ->> 'funding', p_amounts[u.place], coalesce(e.value ->> 'payment_id', ''),
                   coalesce(e.value ->> 'correlation_id', ''), recorded + make_interval(secs => (e.value ->> 'hold_seconds')::integer), recorded, recorded
            FROM unnest(birth_journals, birth_places) AS u(journal, place), LATERAL (SELECT p_options #> ARRAY[(u.journal - 1)::text, 'entry']) AS e(value)
            WHERE verdicts[u.journal] = 'ok' ORDER BY 1;
        ELSIF p_options IS NOT NULL THEN
            PERFORM billing.write_effects(effects);
        END IF;
    END IF;
    UPDATE billing.stream s SET sequence = s.sequence + accepted, head = stream_row.head, last_token = token, last_recorded_at = recorded,
        lease_until = CASE WHEN p_stream IS NULL THEN s.lease_until ELSE recorded + make_interval(secs => p_lease_seconds) END,
        last_transaction = CASE WHEN p_stream IS NULL THEN pg_current_xact_id() END
    WHERE s.id = stream_row.id;
    statuses := array_to_string(verdicts, ',');
    IF found_keys IS NOT NULL OR has_twins THEN
        details := billing.describe_first_results(details);
    END IF;
END $$;
