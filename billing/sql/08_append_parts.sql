-- Parts of the append function: keys, limits in words, the hash chain.

-- Whether journal j's key was used before, in the table or earlier in the same batch; a refused journal keeps no key.
CREATE FUNCTION billing.find_key(
    p_keys text[], p_hashes bytea[], p_ids text[], p_verdicts text[], p_place integer,
    p_found_keys text[], p_found_hashes bytea[], p_found_ids text[], OUT verdict text, OUT detail jsonb)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    place integer := array_position(p_found_keys, p_keys[p_place]);
    first_hash bytea;
    first_id text;
BEGIN
    verdict := 'ok';
    IF place IS NOT NULL THEN
        first_hash := p_found_hashes[place];
        first_id := p_found_ids[place];
    ELSE
        FOR k IN 1..p_place - 1 LOOP
            IF p_keys[k] = p_keys[p_place] AND p_verdicts[k] = 'ok' THEN
                first_hash := p_hashes[k];
                first_id := p_ids[k];
            END IF;
        END LOOP;
    END IF;
    IF first_id IS NOT NULL THEN
        verdict := CASE WHEN first_hash = p_hashes[p_place] THEN 'exists' ELSE 'key_reused' END;
        detail := jsonb_build_object('journal_id', first_id);
    END IF;
END $$;

-- Adds stream, sequence and hash of the first journal to every `exists` and `key_reused`.
CREATE FUNCTION billing.describe_first_results(p_details jsonb) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_object_agg(d.key, CASE WHEN j.id IS NULL THEN d.value ELSE d.value || jsonb_build_object(
        'stream', j.stream, 'sequence', j.sequence, 'hash', encode(j.hash, 'hex')) END), '{}')
    FROM jsonb_each(p_details) d LEFT JOIN billing.journal j ON j.id = d.value ->> 'journal_id'
$$;

-- Which limit a balance broke. A balance beyond a limit may still move towards it.
CREATE FUNCTION billing.explain_limit(p_name text, p_posted bigint, p_floor bigint, p_cap bigint, p_delta numeric, OUT verdict text, OUT detail jsonb)
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    verdict := 'ok';
    IF p_posted < p_floor AND p_delta < 0 THEN
        verdict := 'insufficient_funds';
        detail := jsonb_build_object('account', p_name, 'balance', (p_posted - p_delta)::text, 'delta', p_delta::text, 'floor', p_floor::text);
    ELSIF p_posted > p_cap AND p_delta > 0 THEN
        verdict := CASE WHEN p_name LIKE 'system:credit\_notes:%' THEN 'credit_note_cap_exceeded' ELSE 'balance_cap_exceeded' END;
        detail := jsonb_build_object('account', p_name, 'balance', (p_posted - p_delta)::text, 'delta', p_delta::text, 'cap', p_cap::text);
    END IF;
END $$;

-- Numbers and chains the accepted journals and inserts them; returns their hashes in order and the new head.
-- The text hashed is billing.canonical_journal, spelled out here because a call per journal costs more than the hash.
CREATE FUNCTION billing.write_journals(
    p_stream billing.stream, p_recorded timestamptz, p_ids text[], p_keys text[], p_hashes bytea[], p_kinds text[], p_sizes integer[],
    p_correlations text[], p_metadata text[], p_options jsonb, p_verdicts text[], p_accepted integer, p_posting_accounts integer[],
    p_amounts bigint[], p_account_ids bigint[], p_shards integer[], p_versions bigint[], p_after bigint[], OUT hashes bytea, OUT head bytea)
LANGUAGE plpgsql AS $$
DECLARE
    sequence bigint := p_stream.sequence;
    recorded_micros CONSTANT text := (extract(epoch FROM p_recorded) * 1000000)::bigint;
    sequences bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(p_ids)]);
    previous bytea[] := array_fill(NULL::bytea, ARRAY[cardinality(p_ids)]);
    own bytea[] := previous;
    options jsonb[] := array_fill(NULL::jsonb, ARRAY[cardinality(p_ids)]);
    lo integer; hi integer := 0; i integer; canonical text; facts text; effective_micros text;
BEGIN
    head := p_stream.head;
    hashes := '\x';
    FOR j IN 1..cardinality(p_ids) LOOP
        lo := hi + 1;
        hi := hi + p_sizes[j];
        CONTINUE WHEN p_verdicts[j] <> 'ok';
        sequence := sequence + 1;
        effective_micros := recorded_micros;
        facts := '0:0:0:';
        IF p_options IS NOT NULL AND p_options -> (j - 1) <> 'null' THEN
            options[j] := p_options -> (j - 1);
            SELECT string_agg(octet_length(u.fact) || ':' || u.fact, '' ORDER BY u.place) INTO facts
            FROM unnest(ARRAY[coalesce(options[j] #>> '{entry,id}', ''), coalesce(options[j] ->> 'approval', ''),
                              coalesce(options[j] ->> 'reverses', '')]) WITH ORDINALITY AS u(fact, place);
            IF options[j] ? 'effective_at' THEN
                effective_micros := (extract(epoch FROM (options[j] ->> 'effective_at')::timestamptz) * 1000000)::bigint;
            END IF;
        END IF;
        IF p_metadata[j] <> '{}' THEN
            p_metadata[j] := p_metadata[j]::jsonb::text;
        END IF;
        canonical := p_stream.id || ',' || sequence || ',' || effective_micros || ',' || recorded_micros || ',' || encode(p_hashes[j], 'hex') || ','
            || octet_length(p_ids[j]) || ':' || p_ids[j] || octet_length(p_kinds[j]) || ':' || p_kinds[j] || octet_length(p_keys[j]) || ':' || p_keys[j]
            || octet_length(p_correlations[j]) || ':' || p_correlations[j] || octet_length(p_metadata[j]) || ':' || p_metadata[j]
            || facts || p_sizes[j] || ';';
        FOR p IN lo..hi LOOP
            i := p_posting_accounts[p];
            canonical := canonical || p_account_ids[i] || ',' || p_shards[i] || ',' || p_versions[p] || ',' || p_amounts[p] || ',' || p_after[p] || ';';
        END LOOP;
        sequences[j] := sequence;
        previous[j] := head;
        head := sha256(head || convert_to(canonical, 'UTF8'));
        own[j] := head;
        hashes := hashes || head;
    END LOOP;
    INSERT INTO billing.journal (id, stream, sequence, kind, key, body_hash, previous_hash, hash, posting_count, effective_at, recorded_at,
                                 correlation_id, entry_id, approval_id, reverses, metadata, batch_first, closes_batch)
    SELECT u.id, p_stream.id, u.sequence, u.kind, u.key, u.body_hash, u.previous, u.own, u.size,
           coalesce((u.option ->> 'effective_at')::timestamptz, p_recorded), p_recorded, u.correlation, u.option #>> '{entry,id}',
           u.option ->> 'approval', u.option ->> 'reverses', u.metadata::jsonb, p_stream.sequence + 1,
           u.sequence = p_stream.sequence + p_accepted
    FROM unnest(p_ids, sequences, p_kinds, p_keys, p_hashes, previous, own, p_sizes, p_correlations, p_metadata, options)
         AS u(id, sequence, kind, key, body_hash, previous, own, size, correlation, metadata, option)
    WHERE u.sequence IS NOT NULL;
END $$;
