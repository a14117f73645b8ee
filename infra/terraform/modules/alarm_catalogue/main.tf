# Alarms on what the service logs: which line, which value, how much is too much. No provider: tested anywhere.
#
# A pattern matches the JSON lines of telemetry/logging.py. tests/infra breaks each thing in earnest, takes the line that
# is then logged and evaluates the pattern on it, so that an alarm that cannot fire fails the tests.
# `missing` says what no line at all means: for the heartbeat it is the alarm itself.

locals {
  log_alarms = {
    settlement_circuit_stays_open = {
      summary  = "The settlement circuit has been open for five minutes: payments settle by our own relayer alone."
      severity = "P1"
      pattern  = "{ $.metric = \"settlement.circuit.state\" && $.state = \"OPEN\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 60, periods = 5, missing = "notBreaching"
    }
    heartbeat_missing = {
      summary  = "No worker has looked at the service for five minutes: beat or the workers stand still."
      severity = "P1"
      pattern  = "{ $.metric = \"service.observed\" }"
      value    = "1", statistic = "Sum", threshold = 1, period = 300, periods = 1, missing = "breaching"
    }
    settlement_backlog = {
      summary  = "A payment has waited for its settlement for more than two minutes."
      severity = "P1"
      pattern  = "{ $.metric = \"settlement.oldest_pending\" }"
      value    = "$.value", statistic = "Maximum", threshold = 120, period = 60, periods = 3, missing = "notBreaching"
    }
    settler_failed = {
      summary  = "Settlement failed in a way nobody foresaw and begins anew from the rows."
      severity = "CRITICAL"
      pattern  = "{ $.event = \"settler.failed\" }"
      value    = "1", statistic = "Sum", threshold = 3, period = 300, periods = 1, missing = "notBreaching"
    }
    relayer_balance_low = {
      summary  = "The relayer has gas for less than a day."
      severity = "WARNING"
      pattern  = "{ $.metric = \"relayer.balance.low\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 300, periods = 1, missing = "notBreaching"
    }
    relayer_balance_critical = {
      summary  = "The relayer is nearly out of gas: settlement stops when it is."
      severity = "P1"
      pattern  = "{ $.metric = \"relayer.balance.critical\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 300, periods = 1, missing = "notBreaching"
    }
    fencing_token_corrupt = {
      summary  = "The fence's value in Redis is not a token: no journal is appended until a person resets it."
      severity = "P1"
      pattern  = "{ $.metric = \"wal.fencing_token.corrupt\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 60, periods = 1, missing = "notBreaching"
    }
    fencing_token_overflow = {
      summary  = "The fence has run out of tokens."
      severity = "P1"
      pattern  = "{ $.metric = \"wal.fencing_token.overflow\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 60, periods = 1, missing = "notBreaching"
    }
    fencing_token_stale = {
      summary  = "Appends with old tokens are refused: a paused writer woke up, or Redis was promoted."
      severity = "WARNING"
      pattern  = "{ $.metric = \"wal.fencing_token.stale\" }"
      value    = "1", statistic = "Sum", threshold = 5, period = 300, periods = 1, missing = "notBreaching"
    }
    fencing_token_redis_sync_failed = {
      summary  = "The fence cannot tell Redis what it accepted; the rows go on deciding."
      severity = "WARNING"
      pattern  = "{ $.metric = \"wal.fencing_token.redis_sync_failed\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 300, periods = 1, missing = "notBreaching"
    }
    finalize_poisoned = {
      summary  = "A dead letter was refused five times and waits for a person."
      severity = "CRITICAL"
      pattern  = "{ $.metric = \"billing_finalize_poison\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 300, periods = 1, missing = "notBreaching"
    }
    dead_letter_escalated = {
      summary  = "A dead letter has been open for a day."
      severity = "CRITICAL"
      pattern  = "{ $.event = \"dead_letter.escalated\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 300, periods = 1, missing = "notBreaching"
    }
    ledger_verification_failed = {
      summary  = "The ledger's proof found a broken rule: a row was changed, or a sum is not zero."
      severity = "P1"
      pattern  = "{ $.event = \"ledger.verification_failed\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 60, periods = 1, missing = "notBreaching"
    }
    recovery_entered = {
      summary  = "The database may have forgotten money: nothing moves until manage.py recovery_end."
      severity = "P1"
      pattern  = "{ $.event = \"recovery.entered\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 60, periods = 1, missing = "notBreaching"
    }
    credit_note_cap_exceeded = {
      summary  = "A wallet's credit would exceed the cap: somebody is owed too much, or a price is wrong."
      severity = "WARNING"
      pattern  = "{ $.metric = \"credit_note_cap_exceeded\" }"
      value    = "1", statistic = "Sum", threshold = 0, period = 300, periods = 1, missing = "notBreaching"
    }
    paid_work_failed = {
      summary  = "Paid work fails again and again: each failure is money owed back."
      severity = "CRITICAL"
      pattern  = "{ $.event = \"paid_work.failed\" }"
      value    = "1", statistic = "Sum", threshold = 10, period = 300, periods = 1, missing = "notBreaching"
    }
    csp_violations = {
      summary  = "Browsers report many violations of the content security policy."
      severity = "WARNING"
      pattern  = "{ $.metric = \"csp.violation\" }"
      value    = "1", statistic = "Sum", threshold = 100, period = 300, periods = 1, missing = "notBreaching"
    }
  }

  # The heartbeat fires below its threshold, everything else above.
  comparisons = { for name, alarm in local.log_alarms : name => name == "heartbeat_missing" ? "LessThanThreshold" : "GreaterThanThreshold" }
}
