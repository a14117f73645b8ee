"""The ledger's metrics. Labels are bounded: kinds, queues, verdicts; never a wallet, an id or an account's name."""

from typing import Final

from telemetry import names
from telemetry.metrics import SIZE_BUCKETS, counter, gauge, histogram

FENCING_REFUSALS: Final = counter(
    names.FENCING_REFUSALS, "Batches and tokens that the fence refused.", labels=("reason",)
)
LEDGER_APPENDS: Final = counter(names.LEDGER_APPENDS, "Journals by kind and by result.", labels=("kind", "status"))
LEDGER_APPEND_SECONDS: Final = histogram(names.LEDGER_APPEND_SECONDS, "Time of one append call in the database.")
LEDGER_BATCH_SIZE: Final = histogram(names.LEDGER_BATCH_SIZE, "Journals of one append call.", buckets=SIZE_BUCKETS)
CONSERVATION_CHECKS: Final = counter(
    names.CONSERVATION_CHECKS, "Runs of the ledger's proof, by outcome.", labels=("outcome",)
)
CONSERVATION_VIOLATIONS: Final = counter(
    names.CONSERVATION_VIOLATIONS, "Rules the ledger's proof found broken.", labels=("check",)
)
DEAD_LETTERS_ENQUEUED: Final = counter(names.DEAD_LETTERS_ENQUEUED, "Dead letters written.", labels=("queue",))
DEAD_LETTERS_PROCESSED: Final = counter(
    names.DEAD_LETTERS_PROCESSED, "Attempts at dead letters, by outcome.", labels=("queue", "outcome")
)
DEAD_LETTERS_PENDING: Final = gauge(names.DEAD_LETTERS_PENDING, "Dead letters that wait.", labels=("queue",))
WEBHOOK_DELIVERIES: Final = counter(
    names.WEBHOOK_DELIVERIES, "Tries at telling an endpoint of an event, by outcome.", labels=("outcome",)
)
RECOVERIES_ENTERED: Final = counter(
    names.RECOVERIES_ENTERED, "Times this process doubted what the database remembers.", labels=("reason",)
)
SERVICE_IN_RECOVERY: Final = gauge(
    names.SERVICE_IN_RECOVERY, "1 while money stands still because the database may have forgotten some."
)
