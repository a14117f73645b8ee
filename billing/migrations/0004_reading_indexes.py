"""Indexes that staff pages and reports read a big ledger by. None is touched by the calls that are most of the ledger.

Without them, at ten million postings: a wallet's used-up notes, the accounts of one shape, entries that ended without
being charged and a period's income statement each read a whole table.
"""

from django.db import migrations

FORWARD = """
CREATE INDEX credit_note_wallet ON billing.credit_note (wallet, number);
CREATE INDEX account_of_shape ON billing.account (shape, id);
CREATE INDEX billing_entry_uncharged ON billing.billing_entry (state, id) WHERE state IN ('RELEASED', 'VOIDED');
CREATE INDEX billing_entry_from_credit ON billing.billing_entry (id) WHERE funding = 'credit';
-- Journals lie in the order they were recorded in, so a range of time is a range of pages: a summary of a few bytes for
-- every sixteen finds it, where a tree would cost every append an entry.
CREATE INDEX journal_effective ON billing.journal USING brin (effective_at) WITH (pages_per_range = 16);
"""
BACKWARD = """
DROP INDEX IF EXISTS billing.journal_effective, billing.billing_entry_from_credit, billing.billing_entry_uncharged,
    billing.account_of_shape, billing.credit_note_wallet;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_recovery")]
    operations = [migrations.RunSQL(FORWARD, reverse_sql=BACKWARD)]
