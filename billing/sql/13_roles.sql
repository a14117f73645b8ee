-- Who may do what. The functions run as their owner; the application may execute four of them and read.
-- Works without any of the roles: a missing application role gets nothing, a missing ledger role leaves the owner who migrates.

REVOKE ALL ON SCHEMA billing FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA billing FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA billing FROM PUBLIC;

CREATE FUNCTION billing.grant_to_application(p_role text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = p_role) OR p_role = current_user THEN
        RETURN false;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA billing TO %I', p_role);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA billing TO %I', p_role);
    EXECUTE format('GRANT INSERT, UPDATE ON billing.dead_letter TO %I', p_role);
    EXECUTE format('GRANT INSERT ON billing.anchor TO %I', p_role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION billing.append_batch, billing.acquire_stream, billing.release_stream, '
                   'billing.extend_hold, billing.request_approval, billing.grant_approval, billing.close_period, billing.canonical_journal, '
                   'billing.canonical_postings, billing.target_version TO %I', p_role);
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION billing.grant_to_application FROM PUBLIC;
