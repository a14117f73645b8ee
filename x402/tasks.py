"""Celery's thin wrappers: at least once, on rows, with idempotent effect."""

import threading
import time

from celery import shared_task

from billing.services import recovery
from billing.services.steps import while_full
from x402.chain.network_settings import networks
from x402.services import (
    facilitated_settlement,
    gas,
    owed_refunds,
    reconciliation,
    refunds,
    retention,
    settler,
    sweeps,
    treasury,
)
from x402.services.facilitator_choice import facilitator_for

RUN_SECONDS = 40.0  # below the soft limit of a task; what is still on its way is followed by the next run
STEP_PAUSE_SECONDS = 0.05

BEAT_SCHEDULE = {
    "x402-settle-due": {"task": "x402.settle_due", "schedule": 5.0, "options": {"queue": "settlement", "expires": 5}},
    "x402-sweep-payments": {"task": "x402.sweep_payments", "schedule": 15.0, "options": {"expires": 15}},
    "x402-reconcile": {"task": "x402.reconcile", "schedule": 600.0, "options": {"expires": 600}},
    "x402-sweep-refunds": {"task": "x402.sweep_refunds", "schedule": 30.0, "options": {"expires": 30}},
    "x402-forget": {"task": "x402.forget", "schedule": 300.0, "options": {"expires": 300}},
    "x402-watch-gas": {"task": "x402.watch_gas", "schedule": 60.0, "options": {"expires": 60}},
}


@shared_task(name="x402.settle_due")
def settle_due() -> int:
    """Settle what waits on every network, unless another process leads; the number of payments settled."""
    if recovery.is_under_way():
        return 0
    settled = 0
    for network in networks():
        facilitator = facilitator_for(network)
        ends_at = time.monotonic() + RUN_SECONDS / len(networks())
        while time.monotonic() < ends_at:
            progress = settler.step(facilitator)
            settled += len(progress.settled)
            if not progress.is_leader or not (progress.submitted or progress.pending):
                break
            if progress.pending and not progress.submitted:
                threading.Event().wait(STEP_PAUSE_SECONDS)  # a block or a facilitator elsewhere takes its time
        facilitator.release()
    return settled


@shared_task(name="x402.sweep_payments")
def sweep_payments() -> dict[str, int]:
    """Move over-age payments to their exits."""
    swept = sweeps.sweep_payments()
    facilitated_settlement.sweep()
    return {
        "became_unknown": swept.became_unknown,
        "resolved": swept.resolved,
        "credited_after_crash": swept.credited_after_crash,
        "credited_unserved": swept.credited_unserved,
        "given_up": swept.given_up,
    }


@shared_task(name="x402.reconcile")
def reconcile() -> int:
    """Compare chain and books; the number of differences, or -1 when the chain could not be read."""
    report = None if recovery.is_under_way() else reconciliation.reconcile_quietly()
    return -1 if report is None else len(report.differences)


@shared_task(name="x402.watch_gas")
def watch_gas() -> int:
    """Book the gas that was spent and look after what is left; the number of transactions booked."""
    if recovery.is_under_way():
        return 0
    gas.watch_balances()
    return gas.book_spent_gas()


@shared_task(name="x402.forget")
def forget() -> dict[str, int]:
    """Forget bodies of answers and quotes that are past their time; how many of each."""
    full, seconds = retention.FORGOTTEN_AT_ONCE, RUN_SECONDS / 2
    return {
        "answers": while_full(retention.forget_answers, full=full, seconds=seconds),
        "quotes": while_full(retention.forget_quotes, full=full, seconds=seconds),
    }


@shared_task(name="x402.sweep_refunds")
def sweep_refunds() -> dict[str, int]:
    """Pay out what is owed and final, bring every open refund as far as it goes, and look after the float."""
    treasury.watch_float()
    return {"begun": owed_refunds.pay_out_owed(), "ended": refunds.sweep()}
