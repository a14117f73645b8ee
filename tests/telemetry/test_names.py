"""Names the sprint plan fixes are there to the letter; every metric is a legal Prometheus name."""

import re

from telemetry import names

PLAN_EVENTS = {
    "wal.fencing_token.stale",
    "wal.fencing_token.corrupt",
    "wal.fencing_token.overflow",
    "wal.fencing_token.redis_sync_failed",
    "settlement.circuit.state_change",
    "csp.violation",
    "credit_note_cap_exceeded",
}
PLAN_SPANS = {"x402.transaction", "x402.quote", "x402.verify", "x402.settle", "x402.finalize", "x402.ledger"}
PLAN_ATTRIBUTES = [
    "quote_id",
    "model",
    "max_cost",
    "payment_id",
    "wallet_address",
    "is_replay",
    "method",
    "circuit_state",
    "tx_hash",
    "attempt",
    "billing_entry_id",
    "next_retry_at",
    "event_type",
    "posting_count",
    "balance_after",
    "correlation_id",
]


def constants() -> dict[str, str]:
    return {name: value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}


def test_every_name_of_the_plan_is_there_verbatim() -> None:
    values = set(constants().values())

    assert values >= PLAN_EVENTS
    assert PLAN_SPANS <= names.SPANS
    assert set(PLAN_ATTRIBUTES) <= names.ATTRIBUTES
    assert {"settlement_circuit_state", "loa-finn"} <= values


def test_no_name_is_given_twice() -> None:
    values = [value for name, value in constants().items() if not name.startswith("_")]

    assert sorted(values) == sorted(set(values))


def test_metric_names_are_legal() -> None:
    metrics = [value for value in constants().values() if value.endswith(("_total", "_seconds", "_state", "_journals"))]

    assert len(metrics) > 20
    assert [name for name in metrics if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []
