variables {
  runbook_base_url = "https://runbooks.example.com/infra/runbooks"
}

run "each_alarm_says_what_silence_means_and_where_its_runbook_is" {
  assert {
    condition     = alltrue([for a in output.log_alarms : contains(["breaching", "notBreaching"], a.missing)])
    error_message = "Each alarm must decide what missing data means."
  }
  assert {
    condition     = alltrue([for a in output.log_alarms : a.runbook == "${var.runbook_base_url}/${a.slug}.md"])
    error_message = "Each alarm must link its runbook."
  }
  assert {
    condition     = alltrue([for a in output.log_alarms : contains(["P1", "CRITICAL", "WARNING"], a.severity)])
    error_message = "A severity is P1, CRITICAL or WARNING."
  }
  assert {
    condition     = alltrue([for a in output.log_alarms : can(regex("^\\{ \\$\\.(metric|event) = ", a.pattern))])
    error_message = "A pattern must look at a field of a JSON line, never at loose words."
  }
}

run "silence_of_the_heartbeat_is_an_alarm" {
  assert {
    condition     = output.log_alarms["heartbeat_missing"].missing == "breaching" && output.log_alarms["heartbeat_missing"].comparison == "LessThanThreshold"
    error_message = "A heartbeat that stops must fire."
  }
}

run "refuses_runbooks_without_https" {
  command = plan
  variables {
    runbook_base_url = "http://runbooks.example.com"
  }
  expect_failures = [var.runbook_base_url]
}
