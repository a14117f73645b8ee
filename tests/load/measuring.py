"""Doing many things at once, and what that took: throughput, percentiles of latency, errors."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from tests.factories import ledger
from tests.suite_report import percentile


@dataclass(slots=True)
class Measured:
    """What a scenario's operations took. Units: seconds."""

    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: "Measured") -> None:
        """Another round of the same scenario."""
        self.latencies += other.latencies
        self.errors += other.errors
        self.answers += other.answers
        self.seconds += other.seconds

    @property
    def figures(self) -> dict[str, float | int]:
        """Throughput, P50, P95, P99 and the share of operations that raised."""
        milliseconds = [latency * 1000 for latency in self.latencies]
        return {
            "operations": len(milliseconds),
            "throughput_per_second": round(len(milliseconds) / self.seconds, 1),
            "p50_ms": round(percentile(milliseconds, 50), 2),
            "p95_ms": round(percentile(milliseconds, 95), 2),
            "p99_ms": round(percentile(milliseconds, 99), 2),
            "error_rate": round(len(self.errors) / len(milliseconds), 4),
        }


def at_once(count: int, operation: Callable[[int], Any]) -> Measured:
    """Run `operation(number)` in `count` threads that begin together."""
    measured, barrier = Measured(), threading.Barrier(count + 1)

    def run(number: int) -> Any:
        barrier.wait()
        began = time.perf_counter()
        try:
            return operation(number)
        finally:
            measured.latencies.append(time.perf_counter() - began)
            connection.close()

    with ThreadPoolExecutor(count) as threads:
        running = [threads.submit(run, number) for number in range(count)]
        barrier.wait()
        began = time.perf_counter()
        wait(running)
        measured.seconds = time.perf_counter() - began
    for one in running:
        error = one.exception()
        if error is None:
            measured.answers.append(one.result())
        else:
            measured.errors.append(f"{type(error).__name__}: {error}")
    return measured


def sum_of_all_postings() -> dict[str, int]:
    """What each denomination's postings sum to, where that is not zero."""
    return dict(
        ledger.rows(
            "SELECT a.denomination, sum(p.amount)::bigint FROM billing.posting p"
            " JOIN billing.account a ON a.id = p.account_id GROUP BY a.denomination HAVING sum(p.amount) <> 0"
        )
    )
