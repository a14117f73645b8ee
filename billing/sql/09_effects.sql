-- What journals move besides money, decided in memory and written once: billing entries, registered rows, credit notes.

-- The state a batch works on: what was locked, as the journals decided so far leave it.
CREATE TYPE billing.effects AS (tables jsonb, "rows" jsonb, entries jsonb, notes jsonb, movements jsonb, updates jsonb, uses jsonb);

-- Whether all that the batch's journals carry is the birth of an entry each, of entries that do not exist yet: the common case of
-- prepaid work, which needs none of the state below.
CREATE FUNCTION billing.has_births_only(p_options jsonb, p_sizes integer[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    ids text[];
    is_plain boolean;
BEGIN
    SELECT bool_and(o = 'null' OR (o - 'entry' = '{}' AND o #> '{entry,path}' = '["IDLE", "RESERVE_HELD"]'
                    AND NOT o -> 'entry' ?| ARRAY['spend_key', 'cost', 'reason', 'expired'])),
           array_agg(o #>> '{entry,id}') FILTER (WHERE o <> 'null')
    INTO is_plain, ids FROM jsonb_array_elements(p_options) o;
    IF NOT is_plain OR NOT 2 = ALL (p_sizes) THEN
        RETURN false;
    END IF;
    IF cardinality(ids) > 1 AND (SELECT count(*) <> count(DISTINCT u.id) FROM unnest(ids) AS u(id)) THEN
        RETURN false;
    END IF;
    RETURN NOT EXISTS (SELECT FROM billing.billing_entry e WHERE e.id = ANY (ids));
END $$;

-- Locks entries by id, then rows of registered tables by table and id, and reads them.
CREATE FUNCTION billing.lock_effects(p_options jsonb) RETURNS billing.effects
LANGUAGE plpgsql AS $$
DECLARE
    effects billing.effects;
    registered record;
    found jsonb;
BEGIN
    effects.tables := '{}'; effects."rows" := '{}'; effects.notes := '{}'; effects.movements := '[]'; effects.updates := '[]'; effects.uses := '{}';
    SELECT coalesce(jsonb_object_agg(locked.id, to_jsonb(locked)), '{}') INTO effects.entries
    FROM (SELECT e.* FROM billing.billing_entry e
          WHERE e.id = ANY (ARRAY(SELECT o #>> '{entry,id}' FROM jsonb_array_elements(p_options) o WHERE o ? 'entry'))
          ORDER BY e.id FOR UPDATE) locked;
    FOR registered IN
        SELECT t.*, array_agg(DISTINCT move ->> 'id') AS ids
        FROM jsonb_array_elements(p_options) o, jsonb_array_elements(o -> 'transitions') move
        JOIN billing.transition_table t ON t.name = move ->> 'table'
        WHERE o ? 'transitions' GROUP BY t.name ORDER BY t.name
    LOOP
        EXECUTE format('SELECT coalesce(jsonb_object_agg(%L || l.id, jsonb_build_object(''state'', l.state, ''attempt'', l.attempt)), ''{}'') '
                       'FROM (SELECT id, %I AS state, %I AS attempt FROM %s WHERE id = ANY ($1) ORDER BY id FOR UPDATE) l',
                       registered.name || '/', registered.state_column, registered.attempt_column, registered.relation)
        INTO found USING registered.ids;
        effects."rows" := effects."rows" || found;
        effects.tables := effects.tables || jsonb_build_object(registered.name, to_jsonb(registered.allowed_columns));
    END LOOP;
    RETURN effects;
END $$;

-- Reads the open notes of every wallet the batch touches, oldest first. Their wallet account's balance row is locked by now,
-- and notes change under that lock only.
CREATE FUNCTION billing.load_notes(p_effects billing.effects, p_options jsonb, p_names text[], p_denominations text[]) RETURNS billing.effects
LANGUAGE plpgsql AS $$
BEGIN
    SELECT coalesce(jsonb_object_agg(w.wallet || '|' || w.denomination, w.notes), '{}') INTO p_effects.notes
    FROM (SELECT n.wallet, n.denomination, jsonb_agg(to_jsonb(n) || jsonb_build_object('dirty', false) ORDER BY n.number) AS notes
          FROM unnest(p_names, p_denominations) AS u(name, denomination)
          JOIN billing.credit_note n ON n.wallet = substr(u.name, 21) AND n.denomination = u.denomination
          WHERE u.name LIKE 'system:credit\_notes:%'
            AND (n.remaining > 0 OR n.id IN (
                SELECT m.note_id FROM jsonb_array_elements(p_options) o
                JOIN billing.credit_note_movement m ON m.entry_id = o #>> '{entry,id}' WHERE o ? 'entry'))
          GROUP BY n.wallet, n.denomination) w;
    RETURN p_effects;
END $$;

-- Decides everything of one journal that is not a balance. Returns the state after it; on a refusal the caller keeps the old one.
CREATE FUNCTION billing.decide_effects(
    p_effects billing.effects, p_option jsonb, p_journal_id text, p_kind text, p_metadata jsonb, p_accounts integer[], p_amounts bigint[],
    p_bits bigint[], p_owners text[], p_names text[], p_denominations text[], p_user text, p_wallet text, p_now timestamptz, p_closed_until timestamptz,
    OUT verdict text, OUT detail jsonb, OUT effects billing.effects)
LANGUAGE plpgsql AS $$
DECLARE
    kind_row billing.journal_kind;
    note_delta numeric := 0; held_delta numeric := 0; revenue_delta numeric := 0;
    note_wallet text; note_denomination text; held_denomination text;
    effective timestamptz;
    decided record;
BEGIN
    effects := p_effects;
    verdict := 'ok';
    SELECT * INTO STRICT kind_row FROM billing.journal_kind k WHERE k.kind = p_kind;
    IF p_option IS NULL OR (kind_row.needs_entry AND NOT coalesce(p_option ? 'entry', false)) THEN
        verdict := 'posting_refused';
        detail := jsonb_build_object('kind', p_kind, 'missing', CASE WHEN kind_row.needs_entry THEN 'entry' ELSE 'effects' END);
        IF kind_row.needs_approval THEN verdict := 'approval_required'; END IF;
        RETURN;
    END IF;
    IF p_option ? 'effective_at' THEN
        effective := (p_option ->> 'effective_at')::timestamptz;
        IF effective <= p_closed_until THEN
            verdict := 'period_closed';
            detail := jsonb_build_object('closed_until', p_closed_until);
            RETURN;
        ELSIF effective > p_now + interval '1 day' OR effective < timestamptz '2000-01-01' THEN
            verdict := 'effective_at_out_of_range';
            RETURN;
        END IF;
    END IF;
    SELECT coalesce(sum(u.amount) FILTER (WHERE p_bits[u.place] = 64), 0), max(p_owners[u.place]) FILTER (WHERE p_bits[u.place] = 64),
           max(p_denominations[u.place]) FILTER (WHERE p_bits[u.place] = 64),
           coalesce(sum(u.amount) FILTER (WHERE p_bits[u.place] = 16), 0), max(p_denominations[u.place]) FILTER (WHERE p_bits[u.place] = 16),
           coalesce(sum(u.amount) FILTER (WHERE p_bits[u.place] = 1024), 0)
    INTO note_delta, note_wallet, note_denomination, held_delta, held_denomination, revenue_delta
    FROM unnest(p_accounts, p_amounts) AS u(place, amount);
    IF kind_row.needs_approval OR kind_row.daily_limit IS NOT NULL THEN
        SELECT d.* INTO decided FROM billing.decide_permission(effects, kind_row, p_option, p_metadata, p_amounts, p_denominations[p_accounts[1]], p_user, p_wallet, p_now) d;
        verdict := decided.verdict; detail := decided.detail; effects := decided.effects;
        IF verdict <> 'ok' THEN RETURN; END IF;
    END IF;
    IF p_option ? 'reverses' AND NOT billing.is_reversal(p_option ->> 'reverses',
            ARRAY(SELECT p_names[u.place] FROM unnest(p_accounts) WITH ORDINALITY AS u(place, line) ORDER BY u.line),
            ARRAY(SELECT p_denominations[u.place] FROM unnest(p_accounts) WITH ORDINALITY AS u(place, line) ORDER BY u.line), p_amounts) THEN
        verdict := 'posting_refused';
        detail := jsonb_build_object('reverses', p_option ->> 'reverses');
        RETURN;
    END IF;
    IF p_option ? 'entry' THEN
        SELECT d.* INTO decided FROM billing.decide_entry(effects, p_option -> 'entry', p_kind, held_delta, held_denomination, revenue_delta, p_user, p_wallet, p_now) d;
        verdict := decided.verdict; detail := decided.detail; effects := decided.effects;
        IF verdict <> 'ok' THEN RETURN; END IF;
    ELSIF held_delta <> 0 THEN
        -- Money on a hold belongs to an entry; without one it would never be resolved (rule R35).
        verdict := 'posting_refused';
        detail := jsonb_build_object('kind', p_kind, 'missing', 'entry');
        RETURN;
    END IF;
    IF p_option ? 'transitions' THEN
        SELECT d.* INTO decided FROM billing.decide_transitions(effects, p_option -> 'transitions') d;
        verdict := decided.verdict; detail := decided.detail; effects := decided.effects;
        IF verdict <> 'ok' THEN RETURN; END IF;
    END IF;
    IF p_option ? 'issues' OR p_option ? 'takes' OR p_option ? 'finals' OR note_delta <> 0 THEN
        SELECT d.* INTO decided FROM billing.decide_notes(effects, p_option, p_journal_id, note_wallet, note_denomination, note_delta, p_now) d;
        verdict := decided.verdict; detail := decided.detail; effects := decided.effects;
    END IF;
END $$;

-- Moves one billing entry along its path, and ties its hold to the journal's postings: what was held is what is resolved.
CREATE FUNCTION billing.decide_entry(
    p_effects billing.effects, p_move jsonb, p_kind text, p_held numeric, p_denomination text, p_revenue numeric, p_user text, p_wallet text,
    p_now timestamptz, OUT verdict text, OUT detail jsonb, OUT effects billing.effects)
LANGUAGE plpgsql AS $$
DECLARE
    entry jsonb := p_effects.entries -> (p_move ->> 'id');
    path text[] := ARRAY(SELECT jsonb_array_elements_text(p_move -> 'path'));
    last_state text := path[cardinality(path)];
    expected numeric := 0;
    hops jsonb := '[]';
BEGIN
    effects := p_effects;
    verdict := 'ok';
    IF coalesce(entry ->> 'state', 'IDLE') <> path[1] THEN
        verdict := 'wrong_state';
        detail := jsonb_build_object('entry_id', p_move ->> 'id', 'state', coalesce(entry ->> 'state', 'IDLE'), 'expected', path[1]);
        RETURN;
    END IF;
    IF p_move ? 'expired' AND ((entry ->> 'expires_at')::timestamptz > p_now OR entry ->> 'expires_at' IS NULL
        OR (entry ->> 'lease_until')::timestamptz > p_now
        OR EXISTS (SELECT FROM billing.dead_letter d WHERE d.entry_id = p_move ->> 'id' AND d.state IN ('pending', 'poisoned'))) THEN
        verdict := 'wrong_state';
        detail := jsonb_build_object('entry_id', p_move ->> 'id', 'state', entry ->> 'state', 'expected', 'expired');
        RETURN;
    END IF;
    FOR k IN 2..cardinality(path) LOOP
        IF path[k] <> path[k - 1] THEN
            IF NOT EXISTS (SELECT FROM billing.entry_lifecycle l WHERE l.from_state = path[k - 1] AND l.to_state = path[k]) THEN
                verdict := 'wrong_state';
                detail := jsonb_build_object('entry_id', p_move ->> 'id', 'state', path[k - 1], 'expected', path[k]);
                RETURN;
            END IF;
            hops := hops || to_jsonb(path[k]);
        END IF;
    END LOOP;
    IF entry IS NULL THEN
        expected := greatest(p_held, 1);
        entry := jsonb_build_object('id', p_move ->> 'id', 'account_id', p_move ->> 'account_id', 'wallet', coalesce(p_move ->> 'wallet', ''),
            'denomination', p_denomination, 'funding', p_move ->> 'funding', 'held_amount', p_held, 'revenue_remaining', 0,
            'payment_id', coalesce(p_move ->> 'payment_id', ''), 'correlation_id', coalesce(p_move ->> 'correlation_id', ''),
            'reason', '', 'spend_key', p_move ->> 'spend_key', 'created_at', p_now, 'born', true,
            'expires_at', p_now + make_interval(secs => (p_move ->> 'hold_seconds')::integer));
        IF entry ->> 'spend_key' IS NOT NULL AND EXISTS (
            SELECT FROM billing.billing_entry e WHERE e.wallet = entry ->> 'wallet' AND e.spend_key = entry ->> 'spend_key') THEN
            verdict := 'key_reused';
            detail := jsonb_build_object('spend_key', entry ->> 'spend_key');
            RETURN;
        END IF;
    ELSIF last_state IN ('FINALIZE_ACKED', 'RELEASED', 'VOIDED') AND jsonb_array_length(hops) > 0 THEN
        expected := -(entry ->> 'held_amount')::numeric;
    END IF;
    IF p_held <> expected OR (p_held <> 0 AND p_denomination IS DISTINCT FROM entry ->> 'denomination')
       OR (p_user <> '' AND p_user <> entry ->> 'account_id') OR (p_wallet <> '' AND p_wallet <> entry ->> 'wallet') THEN
        verdict := 'posting_refused';
        detail := jsonb_build_object('entry_id', p_move ->> 'id', 'held', p_held::text, 'expected', expected::text);
        RETURN;
    END IF;
    IF p_revenue < 0 AND (entry ->> 'revenue_remaining')::numeric + p_revenue < 0 THEN
        verdict := 'insufficient_funds';
        detail := jsonb_build_object('entry_id', p_move ->> 'id', 'balance', entry ->> 'revenue_remaining', 'delta', p_revenue::text);
        RETURN;
    END IF;
    entry := entry || jsonb_build_object('state', last_state, 'updated_at', p_now, 'hops', coalesce(entry -> 'hops', '[]') || hops,
        'revenue_remaining', (entry ->> 'revenue_remaining')::numeric + p_revenue);
    IF p_move ? 'cost' THEN entry := entry || jsonb_build_object('cost_amount', p_move -> 'cost'); END IF;
    IF p_move ? 'reason' THEN entry := entry || jsonb_build_object('reason', p_move -> 'reason'); END IF;
    effects.entries := effects.entries || jsonb_build_object(p_move ->> 'id', entry);
END $$;

-- Guarded state changes of registered rows: row, state and attempt must be what the caller believes (rule R6).
CREATE FUNCTION billing.decide_transitions(p_effects billing.effects, p_moves jsonb, OUT verdict text, OUT detail jsonb, OUT effects billing.effects)
LANGUAGE plpgsql AS $$
DECLARE
    move jsonb;
    place text;
    current jsonb;
BEGIN
    effects := p_effects;
    verdict := 'ok';
    FOR move IN SELECT m FROM jsonb_array_elements(p_moves) m LOOP
        place := (move ->> 'table') || '/' || (move ->> 'id');
        current := effects."rows" -> place;
        IF NOT effects.tables ? (move ->> 'table') OR EXISTS (
            SELECT FROM jsonb_object_keys(coalesce(move -> 'changes', '{}')) AS u(name) WHERE NOT (effects.tables -> (move ->> 'table')) ? u.name) THEN
            verdict := 'transition_refused';
            detail := jsonb_build_object('table', move ->> 'table');
            RETURN;
        END IF;
        IF current IS NULL OR current ->> 'state' <> move ->> 'from'
           OR (move ? 'attempt' AND (current ->> 'attempt')::bigint <> (move ->> 'attempt')::bigint) THEN
            verdict := 'wrong_state';
            detail := jsonb_build_object('table', move ->> 'table', 'id', move ->> 'id', 'state', current ->> 'state', 'attempt', current -> 'attempt');
            RETURN;
        END IF;
        effects."rows" := effects."rows" || jsonb_build_object(place, current || jsonb_build_object('state', move ->> 'to'));
        effects.updates := effects.updates || move;
    END LOOP;
END $$;
