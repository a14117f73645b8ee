"""The audit log only grows: a trigger that fires always refuses UPDATE, DELETE and TRUNCATE, for its owner too."""

from django.db import migrations

REFUSE = """
SET LOCAL lock_timeout = '3s';
CREATE FUNCTION accounts_audit_refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'audit events are append-only: % is refused', TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER accounts_audit_keeps_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_audit_refuse_change();
ALTER TABLE accounts_auditevent ENABLE ALWAYS TRIGGER accounts_audit_keeps_rows;
"""

ALLOW = """
DROP TRIGGER accounts_audit_keeps_rows ON accounts_auditevent;
DROP FUNCTION accounts_audit_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = (("accounts", "0001_initial"),)

    operations = (migrations.RunSQL(REFUSE, reverse_sql=ALLOW),)
