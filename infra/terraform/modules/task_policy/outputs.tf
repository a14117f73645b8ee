output "json" {
  description = "The policy document."
  value       = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

output "statements" {
  description = "The same, to be tested."
  value       = local.statements
}
