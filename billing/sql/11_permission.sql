-- Approvals by a second person, daily limits, reversals (rule R34). Checked here, so that no caller can leave them out.

-- What an approval was given for; when the target changed since, its hash no longer fits.
CREATE FUNCTION billing.target_version(p_target text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, billing, pg_temp AS $$
    SELECT coalesce((SELECT e.state || ':' || e.held_amount || ':' || e.revenue_remaining FROM billing.billing_entry e WHERE e.id = p_target),
                    (SELECT encode(j.hash, 'hex') FROM billing.journal j WHERE j.id = p_target), '')
$$;

CREATE FUNCTION billing.approval_hash(p_kind text, p_target text, p_version text, p_denomination text, p_amount bigint, p_destination text) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, billing, pg_temp AS $$
    SELECT sha256(convert_to(octet_length(p_kind) || ':' || p_kind || octet_length(p_target) || ':' || p_target || octet_length(p_version) || ':' || p_version
        || octet_length(p_denomination) || ':' || p_denomination || p_amount || ',' || octet_length(p_destination) || ':' || p_destination, 'UTF8'))
$$;

CREATE FUNCTION billing.request_approval(
    p_id text, p_kind text, p_target text, p_denomination text, p_amount bigint, p_destination text, p_reason text, p_maker text,
    p_valid_seconds integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp AS $$
DECLARE
    version text := billing.target_version(p_target);
BEGIN
    INSERT INTO billing.approval (id, kind, target, target_version, denomination, amount, destination, reason, maker, content_hash, expires_at)
    VALUES (p_id, p_kind, p_target, version, p_denomination, p_amount, p_destination, p_reason, p_maker,
            billing.approval_hash(p_kind, p_target, version, p_denomination, p_amount, p_destination),
            clock_timestamp() + make_interval(secs => least(p_valid_seconds, 604800)));
    RETURN version;
END $$;

-- The second person. Returns ok, unknown, expired, granted_already, self_approval or changed.
CREATE FUNCTION billing.grant_approval(p_id text, p_checker text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, billing, pg_temp AS $$
DECLARE
    asked billing.approval;
BEGIN
    SELECT * INTO asked FROM billing.approval a WHERE a.id = p_id;
    IF asked.id IS NULL THEN RETURN 'unknown'; END IF;
    IF asked.maker = p_checker THEN RETURN 'self_approval'; END IF;
    IF asked.expires_at <= clock_timestamp() THEN RETURN 'expired'; END IF;
    IF billing.target_version(asked.target) <> asked.target_version THEN RETURN 'changed'; END IF;
    INSERT INTO billing.approval_grant (approval_id, checker, content_hash) VALUES (p_id, p_checker, asked.content_hash)
    ON CONFLICT (approval_id) DO NOTHING;
    RETURN CASE WHEN FOUND THEN 'ok' ELSE 'granted_already' END;
END $$;

CREATE FUNCTION billing.decide_permission(
    p_effects billing.effects, p_kind billing.journal_kind, p_option jsonb, p_metadata jsonb, p_amounts bigint[], p_denomination text,
    p_user text, p_wallet text, p_now timestamptz, OUT verdict text, OUT detail jsonb, OUT effects billing.effects)
LANGUAGE plpgsql AS $$
DECLARE
    amount CONSTANT bigint := (SELECT sum(u.amount) FROM unnest(p_amounts) AS u(amount) WHERE u.amount > 0);
    payee CONSTANT text := coalesce(nullif(p_wallet, ''), p_user);
    destination CONSTANT text := coalesce(p_metadata ->> 'destination', payee);
    target CONSTANT text := coalesce(p_option #>> '{entry,id}', p_option ->> 'reverses', p_metadata ->> 'target', '');
    asked billing.approval;
    granted billing.approval_grant;
    used bigint;
    place CONSTANT text := p_kind.kind || '|' || payee || '|' || p_denomination;
BEGIN
    effects := p_effects;
    verdict := 'ok';
    IF p_option ? 'approval' THEN
        SELECT * INTO asked FROM billing.approval a WHERE a.id = p_option ->> 'approval';
        SELECT * INTO granted FROM billing.approval_grant g WHERE g.approval_id = asked.id;
        IF asked.id IS NULL OR granted.approval_id IS NULL OR granted.checker = asked.maker OR granted.content_hash <> asked.content_hash
           OR asked.expires_at <= p_now OR effects.uses ? ('approval:' || asked.id)
           OR EXISTS (SELECT FROM billing.journal j WHERE j.approval_id = asked.id)
           -- A kind without postings has neither denomination nor amount of its own; a hash of NULL would fit everything.
           OR asked.content_hash IS DISTINCT FROM billing.approval_hash(p_kind.kind, target, billing.target_version(target),
                  coalesce(p_denomination, asked.denomination), coalesce(amount, asked.amount), destination) THEN
            verdict := 'approval_invalid';
            detail := jsonb_build_object('approval_id', p_option ->> 'approval');
        END IF;
        effects.uses := effects.uses || jsonb_build_object('approval:' || (p_option ->> 'approval'), true);
        RETURN;
    END IF;
    IF p_kind.needs_approval THEN
        verdict := 'approval_required';
        detail := jsonb_build_object('kind', p_kind.kind);
        RETURN;
    END IF;
    -- The owner's balance row is locked, so that two batches cannot read the same use.
    used := coalesce((effects.uses #>> ARRAY[place, 'amount'])::bigint,
        (SELECT d.amount FROM billing.daily_use d WHERE d.kind = p_kind.kind AND d.owner = payee AND d.denomination = p_denomination
         AND d.day = (p_now AT TIME ZONE 'UTC')::date), 0);
    IF used + amount > p_kind.daily_limit THEN
        verdict := 'approval_required';
        detail := jsonb_build_object('kind', p_kind.kind, 'used', used::text, 'delta', amount::text, 'cap', p_kind.daily_limit::text);
        RETURN;
    END IF;
    effects.uses := effects.uses || jsonb_build_object(place, jsonb_build_object('kind', p_kind.kind, 'owner', payee, 'denomination', p_denomination,
        'day', (p_now AT TIME ZONE 'UTC')::date, 'amount', used + amount));
END $$;

-- Whether the postings are every posting of the named journal, negated. A journal that moved an entry's hold is voided, not reversed.
CREATE FUNCTION billing.is_reversal(p_reversed text, p_names text[], p_denominations text[], p_amounts bigint[]) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, billing, pg_temp AS $$
    SELECT EXISTS (SELECT FROM billing.journal j WHERE j.id = p_reversed AND j.posting_count > 0 AND j.entry_id IS NULL) AND NOT EXISTS (
        SELECT FROM (
            SELECT a.name, a.denomination, p.amount FROM billing.posting p JOIN billing.account a ON a.id = p.account_id WHERE p.journal_id = p_reversed
            UNION ALL
            SELECT u.name, u.denomination, u.amount FROM unnest(p_names, p_denominations, p_amounts) AS u(name, denomination, amount)) both_sides
        GROUP BY both_sides.name, both_sides.denomination HAVING sum(both_sides.amount) <> 0 OR count(*) % 2 <> 0)
$$;
