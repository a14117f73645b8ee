"""What the database does for a query, judged: whole tables read, rows thrown away, rows counted."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

BIG_TABLES = frozenset(
    {
        "journal",
        "posting",
        "idempotency_key",
        "account",
        "balance",
        "billing_entry",
        "credit_note",
        "credit_note_movement",
        "accounts_account",
        "accounts_wallet",
        "x402_payment",
        "x402_chaintransaction",
        "x402_settlementattempt",
        "x402_consumedlog",
        "x402_storedanswer",
        "billing_outboxevent",
        "waitlist_entry",
        "waitlist_mail",
    }
)
ROWS_READ_MAX = 3_000  # of a page of fifty rows with what belongs to them; the smallest big table has half as many
COUNTING = re.compile(r"\bCOUNT\s*\(", re.IGNORECASE)


@dataclass
class Findings:
    """What is wrong with the queries that ran, one sentence each, and how many queries there were."""

    sentences: list[str] = field(default_factory=list)
    query_count: int = 0


@contextmanager
def judged_queries() -> Iterator[Findings]:
    """Explain and run every SELECT of the block on the default connection."""
    findings = Findings()

    def judge(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if isinstance(sql, str) and sql.lstrip().upper().startswith(("SELECT", "WITH")):
            findings.query_count += 1
            findings.sentences += [f"{sentence}: {' '.join(sql.split())[:300]}" for sentence in faults(sql, params)]
        return execute(sql, params, many, context)

    with connection.execute_wrapper(judge):
        yield findings


def faults(query: str, params: Any) -> list[str]:
    """What is wrong with one query: its text and its plan as it really runs."""
    with connection.connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}", params)
        [answer] = cursor.fetchone()
    plan = json.loads(answer) if isinstance(answer, str) else answer
    found = [sentence for node in nodes(plan[0]["Plan"]) for sentence in node_faults(node)]
    if COUNTING.search(query):
        found.append("it counts rows")
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of a plan."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def node_faults(node: dict[str, Any]) -> Iterator[str]:
    """A big table read in order, or an index read for rows that are thrown away again."""
    table = node.get("Relation Name")
    if table not in BIG_TABLES:
        return
    if "Seq Scan" in node["Node Type"]:
        yield f"it reads all of {table}"
    read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    if read > ROWS_READ_MAX:
        yield f"it reads {read:.0f} rows of {table} ({node['Node Type']})"
