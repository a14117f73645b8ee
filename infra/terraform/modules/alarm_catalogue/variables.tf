variable "runbook_base_url" {
  description = "Where infra/runbooks is published, without a slash at the end."
  type        = string

  validation {
    condition     = can(regex("^https://[^[:space:]]+[^/]$", var.runbook_base_url))
    error_message = "runbook_base_url must begin with https:// and end without a slash."
  }
}
