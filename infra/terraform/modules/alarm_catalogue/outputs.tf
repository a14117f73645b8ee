output "log_alarms" {
  description = "Each alarm with its runbook's address."
  value = { for name, alarm in local.log_alarms : name => merge(alarm, {
    slug       = replace(name, "_", "-")
    comparison = local.comparisons[name]
    runbook    = "${var.runbook_base_url}/${replace(name, "_", "-")}.md"
  }) }
}
