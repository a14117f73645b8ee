"""The rules of a payment's life in the database, and its table's place among those the ledger may move (rule R6)."""

from typing import ClassVar

from django.db import migrations

from x402 import sql

REGISTER = """
SELECT billing.register_transition_table('x402_payment', 'x402_payment', 'state', 'attempt', ARRAY[
  'transaction_hash', 'block_hash', 'block_number', 'log_index', 'charged_micro_usdc', 'overrun_micro_usdc',
  'credit_held', 'failure_code', 'failure_status'])
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("x402", "0001_initial"), ("billing", "0001_ledger")]
    operations: ClassVar = [
        migrations.RunSQL(sql.read("payment_state.sql"), sql.read("payment_state.reverse.sql")),
        migrations.RunSQL(REGISTER, "DELETE FROM billing.transition_table WHERE name = 'x402_payment'"),
    ]
