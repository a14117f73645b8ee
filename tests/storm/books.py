"""What the rows of a stormed database say, read past the code under test, as the server's administrator."""

from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]

QUERIES: Final = {
    "payments": (
        "SELECT id, state, method, scheme, settle_order, work, payer, nonce, amount_micro_usdc, actual_micro_usdc,"
        " charged_micro_usdc, credit_applied_micro_usdc, minted_micro_usd, transaction_hash, log_index, block_number,"
        " failure_code, pay_to, on_crash, request_path, attempt, account_id FROM x402_payment ORDER BY id"
    ),
    "consumed": "SELECT transaction_hash, log_index, beneficiary FROM x402_consumedlog ORDER BY id",
    "notes": "SELECT id, source, wallet, kind, amount, remaining FROM billing.credit_note ORDER BY number",
    "refunds": "SELECT id, state, wallet, amount_micro_usdc, nonce, failure_code FROM x402_refund ORDER BY id",
    "letters": "SELECT queue, state, reason, subject_id, last_error FROM billing.dead_letter ORDER BY id",
    "held": "SELECT id, state, payment_id, funding FROM billing.billing_entry WHERE state = 'RESERVE_HELD'",
    "carried": "SELECT id, state FROM x402_facilitatedpayment ORDER BY id",
    "accounts": (
        "SELECT a.name, a.denomination, sum(b.posted)::bigint AS balance FROM billing.balance b"
        " JOIN billing.account a ON a.id = b.account_id GROUP BY a.name, a.denomination ORDER BY a.name"
    ),
    "unbalanced": (
        "SELECT a.denomination, sum(p.amount)::bigint AS difference FROM billing.posting p"
        " JOIN billing.account a ON a.id = p.account_id GROUP BY a.denomination HAVING sum(p.amount) <> 0"
    ),
    "adrift": (
        "SELECT a.denomination, sum(b.posted)::bigint AS difference FROM billing.balance b"
        " JOIN billing.account a ON a.id = b.account_id GROUP BY a.denomination HAVING sum(b.posted) <> 0"
    ),
    "journals": "SELECT count(*) AS count FROM billing.journal",
}
ENDS: Final = frozenset({"served", "credited", "refunded", "dead"})
REFUND_ENDS: Final = frozenset({"paid", "failed", "refused"})
LETTERS_OPEN: Final = frozenset({"pending", "poisoned", "parked"})


@dataclass(frozen=True, slots=True)
class Books:
    """The rows by the names of `QUERIES`. Units: as the columns say."""

    rows: dict[str, list[Row]] = field(repr=False)

    def __getitem__(self, name: str) -> list[Row]:
        return self.rows[name]

    @property
    def unfinished(self) -> list[str]:
        """What still has a way to go, in words."""
        waiting = [f"payment {one['id']} {one['state']}" for one in self["payments"] if one["state"] not in ENDS]
        waiting += [
            f"payment {one['id']} answered, unsettled"
            for one in self["payments"]
            if one["work"] == "answered" and one["state"] not in ENDS
        ]
        waiting += [f"refund {one['id']} {one['state']}" for one in self["refunds"] if one["state"] not in REFUND_ENDS]
        waiting += [f"letter {one['queue']} {one['state']}" for one in self["letters"] if one["state"] in LETTERS_OPEN]
        waiting += [f"hold {one['id']} of {one['payment_id']}" for one in self["held"]]
        return waiting


def read(url: str) -> Books:
    """All rows at one moment. Raises psycopg.Error when the database cannot be asked."""
    with psycopg.connect(url, connect_timeout=5, row_factory=dict_row) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return Books({name: connection.execute(query).fetchall() for name, query in QUERIES.items()})


def let_a_day_pass(url: str) -> None:
    """Make settled payments a day older: 24 hours after its payer stopped asking, an answer is owed (rule R16).

    For when every payer has been heard. Raises psycopg.Error when the database cannot be asked.
    """
    with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
        connection.execute(
            "UPDATE x402_payment SET settled_at = settled_at - interval '1 day'"
            " WHERE state = 'settled' AND settled_at > clock_timestamp() - interval '1 day'"
        )
