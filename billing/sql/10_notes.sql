-- Credit notes inside the append function: issue, spend oldest first, expire, refund, claw back, return (rule R32).

CREATE FUNCTION billing.decide_notes(
    p_effects billing.effects, p_option jsonb, p_journal_id text, p_wallet text, p_denomination text, p_delta numeric, p_now timestamptz,
    OUT verdict text, OUT detail jsonb, OUT effects billing.effects)
LANGUAGE plpgsql AS $$
DECLARE
    place CONSTANT text := p_wallet || '|' || p_denomination;
    entry CONSTANT jsonb := p_effects.entries -> (p_option #>> '{entry,id}');
    notes jsonb := coalesce(p_effects.notes -> place, '[]');
    movements jsonb := p_effects.movements;
    issue jsonb; take jsonb; note jsonb; reason text;
    total numeric := 0; missing numeric; share numeric; lifetime integer;
BEGIN
    effects := p_effects;
    verdict := 'ok';
    IF p_option ? 'finals' THEN
        effects.uses := effects.uses || jsonb_build_object('finals', coalesce(effects.uses -> 'finals', '[]') || (p_option -> 'finals'));
    END IF;
    FOR take IN SELECT t FROM jsonb_array_elements(coalesce(p_option -> 'takes', '[]')) t LOOP
        reason := take ->> 'reason';
        missing := (take ->> 'amount')::numeric;
        total := total - missing;
        FOR k IN 0..jsonb_array_length(notes) - 1 LOOP
            EXIT WHEN missing = 0;
            note := notes -> k;
            CONTINUE WHEN (note ->> 'remaining')::numeric = 0 OR take ->> 'wallet' <> p_wallet
                OR (take ? 'note_id' AND take ->> 'note_id' <> note ->> 'id')
                OR (take ? 'source' AND take ->> 'source' <> note ->> 'source')
                OR (reason IN ('spent', 'refunded') AND (note ->> 'expires_at')::timestamptz <= p_now)
                OR (reason = 'expired' AND ((note ->> 'expires_at')::timestamptz > p_now OR note ->> 'expires_at' IS NULL))
                OR (reason = 'refunded' AND ((note ->> 'refundable_at')::timestamptz > p_now OR note ->> 'refundable_at' IS NULL));
            share := least(missing, (note ->> 'remaining')::numeric);
            missing := missing - share;
            notes := jsonb_set(notes, ARRAY[k::text], note || jsonb_build_object('remaining', (note ->> 'remaining')::numeric - share, 'dirty', true));
            movements := movements || jsonb_build_object('note_id', note ->> 'id', 'journal_id', p_journal_id, 'reason', reason,
                'amount', -share, 'remaining_after', (note ->> 'remaining')::numeric - share, 'entry_id', entry ->> 'id');
        END LOOP;
        IF missing > 0 THEN
            verdict := 'insufficient_funds';
            detail := jsonb_build_object('wallet', take ->> 'wallet', 'available', ((take ->> 'amount')::numeric - missing)::text, 'delta', (take ->> 'amount'));
            RETURN;
        END IF;
    END LOOP;
    FOR issue IN SELECT i FROM jsonb_array_elements(coalesce(p_option -> 'issues', '[]')) i LOOP
        missing := (issue ->> 'amount')::numeric;
        total := total + missing;
        IF issue ->> 'wallet' IS DISTINCT FROM p_wallet OR missing <= 0 OR missing <> trunc(missing) THEN
            verdict := 'posting_refused';
            detail := jsonb_build_object('note', issue ->> 'id');
            RETURN;
        END IF;
        IF entry ->> 'funding' = 'credit' THEN
            SELECT r.notes, r.movements, r.missing INTO notes, movements, missing
            FROM billing.return_to_notes(notes, movements, entry ->> 'id', p_journal_id, missing, p_now) r;
        END IF;
        CONTINUE WHEN missing = 0;
        lifetime := coalesce((issue ->> 'lifetime')::integer, 604800);
        notes := notes || jsonb_build_object('id', issue ->> 'id', 'wallet', p_wallet, 'denomination', p_denomination, 'kind', issue ->> 'kind',
            'amount', missing, 'remaining', missing, 'source', issue ->> 'source', 'journal_id', p_journal_id, 'issued_at', p_now,
            'expires_at', CASE WHEN issue ->> 'kind' = 'change' THEN p_now + make_interval(secs => lifetime) END, 'dirty', true, 'is_new', true);
        movements := movements || jsonb_build_object('note_id', issue ->> 'id', 'journal_id', p_journal_id, 'reason', 'issued',
            'amount', missing, 'remaining_after', missing, 'entry_id', entry ->> 'id');
    END LOOP;
    IF total <> p_delta THEN
        verdict := 'posting_refused';
        detail := jsonb_build_object('wallet', p_wallet, 'notes', total::text, 'postings', p_delta::text);
        RETURN;
    END IF;
    IF place IS NOT NULL THEN
        effects.notes := effects.notes || jsonb_build_object(place, notes);
    END IF;
    IF p_option ? 'issues' THEN
        -- The caller's receipt names the notes: new ones, or the older ones that a hold gave money back to.
        detail := jsonb_build_object('notes', (
            SELECT jsonb_agg(jsonb_build_object('id', m.value ->> 'note_id', 'amount', m.value ->> 'amount') ORDER BY m.place)
            FROM jsonb_array_elements(movements) WITH ORDINALITY AS m(value, place)
            WHERE m.value ->> 'journal_id' = p_journal_id AND m.value ->> 'reason' IN ('issued', 'returned')));
    END IF;
    effects.movements := movements;
END $$;

-- Gives what a hold did not use back to the notes it came from, last taken first, with at least a day to spend it.
CREATE FUNCTION billing.return_to_notes(
    p_notes jsonb, p_movements jsonb, p_entry_id text, p_journal_id text, p_amount numeric, p_now timestamptz,
    OUT notes jsonb, OUT movements jsonb, OUT missing numeric)
LANGUAGE plpgsql AS $$
DECLARE
    taken record;
    note jsonb;
    share numeric;
BEGIN
    notes := p_notes;
    movements := p_movements;
    missing := p_amount;
    FOR taken IN
        SELECT m.note_id, -sum(m.amount) AS amount FROM (
            SELECT w.note_id, w.amount::numeric, w.id AS place FROM billing.credit_note_movement w WHERE w.entry_id = p_entry_id AND w.reason IN ('spent', 'returned')
            UNION ALL
            SELECT b.value ->> 'note_id', (b.value ->> 'amount')::numeric, 9223372036854775807 - 1000000 + b.place
            FROM jsonb_array_elements(p_movements) WITH ORDINALITY AS b(value, place)
            WHERE b.value ->> 'entry_id' = p_entry_id AND b.value ->> 'reason' IN ('spent', 'returned')) m
        GROUP BY m.note_id HAVING sum(m.amount) < 0 ORDER BY min(m.place) DESC
    LOOP
        EXIT WHEN missing = 0;
        share := least(missing, taken.amount);
        FOR k IN 0..jsonb_array_length(notes) - 1 LOOP
            note := notes -> k;
            CONTINUE WHEN note ->> 'id' <> taken.note_id;
            missing := missing - share;
            notes := jsonb_set(notes, ARRAY[k::text], note || jsonb_build_object('remaining', (note ->> 'remaining')::numeric + share, 'dirty', true,
                'expires_at', CASE WHEN note ->> 'expires_at' IS NOT NULL
                              THEN greatest((note ->> 'expires_at')::timestamptz, p_now + interval '24 hours') END));
            movements := movements || jsonb_build_object('note_id', taken.note_id, 'journal_id', p_journal_id, 'reason', 'returned',
                'amount', share, 'remaining_after', (note ->> 'remaining')::numeric + share, 'entry_id', p_entry_id);
        END LOOP;
    END LOOP;
END $$;

-- Writes what was decided: entries hop by hop (the trigger sees every move), registered rows, notes, movements, daily use.
CREATE FUNCTION billing.write_effects(p billing.effects) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    move jsonb;
    registered billing.transition_table;
    columns text;
    step integer := 0;
    moved integer;
BEGIN
    IF p.entries <> '{}' THEN
        INSERT INTO billing.billing_entry (id, state, account_id, wallet, denomination, funding, held_amount, cost_amount, revenue_remaining,
                                           payment_id, correlation_id, reason, spend_key, expires_at, created_at, updated_at)
        SELECT e.id, v.value #>> '{hops,0}', e.account_id, e.wallet, e.denomination, e.funding, e.held_amount, e.cost_amount, e.revenue_remaining,
               e.payment_id, e.correlation_id, e.reason, e.spend_key, e.expires_at, e.created_at, e.updated_at
        FROM jsonb_each(p.entries) v, jsonb_populate_record(NULL::billing.billing_entry, v.value) e
        WHERE v.value ? 'born' ORDER BY e.id;
        LOOP
            UPDATE billing.billing_entry b SET state = v.value -> 'hops' ->> step, cost_amount = e.cost_amount, revenue_remaining = e.revenue_remaining,
                reason = e.reason, updated_at = e.updated_at
            FROM jsonb_each(p.entries) v, jsonb_populate_record(NULL::billing.billing_entry, v.value) e
            WHERE b.id = v.key AND v.value ? 'hops'
              AND (step < jsonb_array_length(v.value -> 'hops') AND NOT (step = 0 AND v.value ? 'born'));
            GET DIAGNOSTICS moved = ROW_COUNT;
            EXIT WHEN moved = 0 AND step > 0;
            step := step + 1;
        END LOOP;
        UPDATE billing.billing_entry b SET revenue_remaining = (v.value ->> 'revenue_remaining')::bigint, updated_at = (v.value ->> 'updated_at')::timestamptz
        FROM jsonb_each(p.entries) v WHERE b.id = v.key AND v.value -> 'hops' = '[]';
    END IF;
    FOR move IN SELECT m FROM jsonb_array_elements(p.updates) m LOOP
        SELECT * INTO STRICT registered FROM billing.transition_table t WHERE t.name = move ->> 'table';
        SELECT string_agg(format(', %1$I = r.%1$I', u.name), '') INTO columns FROM jsonb_object_keys(coalesce(move -> 'changes', '{}')) AS u(name);
        EXECUTE format('UPDATE %1$s t SET %2$I = $1%3$s FROM jsonb_populate_record(NULL::%1$s, $2) r WHERE t.id = $3 AND t.%2$I = $4',
                       registered.relation, registered.state_column, coalesce(columns, ''))
        USING move ->> 'to', coalesce(move -> 'changes', '{}'), move ->> 'id', move ->> 'from';
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved <> 1 THEN
            RAISE EXCEPTION 'row % of % changed under its lock', move ->> 'id', move ->> 'table' USING ERRCODE = 'serialization_failure';
        END IF;
    END LOOP;
    IF p.movements <> '[]' THEN
        INSERT INTO billing.credit_note (id, wallet, denomination, kind, amount, remaining, source, journal_id, issued_at, expires_at)
        SELECT n.id, n.wallet, n.denomination, n.kind, n.amount, n.remaining, n.source, n.journal_id, n.issued_at, n.expires_at
        FROM jsonb_each(p.notes) w, jsonb_array_elements(w.value) WITH ORDINALITY AS v(value, place), jsonb_populate_record(NULL::billing.credit_note, v.value) n
        WHERE v.value ? 'is_new' ORDER BY w.key, v.place;
        UPDATE billing.credit_note c SET remaining = (v.value ->> 'remaining')::bigint, expires_at = (v.value ->> 'expires_at')::timestamptz
        FROM jsonb_each(p.notes) w, jsonb_array_elements(w.value) v
        WHERE c.id = v.value ->> 'id' AND (v.value ->> 'dirty')::boolean AND NOT v.value ? 'is_new';
        INSERT INTO billing.credit_note_movement (note_id, journal_id, reason, amount, remaining_after, entry_id)
        SELECT m.value ->> 'note_id', m.value ->> 'journal_id', m.value ->> 'reason', (m.value ->> 'amount')::bigint,
               (m.value ->> 'remaining_after')::bigint, m.value ->> 'entry_id'
        FROM jsonb_array_elements(p.movements) WITH ORDINALITY AS m(value, place) ORDER BY m.place;
    END IF;
    IF p.uses <> '{}' THEN
        UPDATE billing.credit_note c SET refundable_at = clock_timestamp()
        WHERE p.uses ? 'finals' AND c.source IN (SELECT jsonb_array_elements_text(p.uses -> 'finals')) AND c.refundable_at IS NULL;
        INSERT INTO billing.daily_use (kind, owner, denomination, day, amount)
        SELECT u.value ->> 'kind', u.value ->> 'owner', u.value ->> 'denomination', (u.value ->> 'day')::date, (u.value ->> 'amount')::bigint
        FROM jsonb_each(p.uses) u WHERE jsonb_typeof(u.value) = 'object'
        ON CONFLICT (kind, owner, denomination, day) DO UPDATE SET amount = excluded.amount;
    END IF;
END $$;
