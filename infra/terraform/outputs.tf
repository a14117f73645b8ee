output "alarm_topic_arn" {
  description = "The topic every alarm publishes to; gate-check.sh looks for it."
  value       = aws_sns_topic.loa_finn_alarms.arn
}

output "cluster_name" {
  description = "The cluster, as gate-check.sh takes it in CLUSTER."
  value       = aws_ecs_cluster.loa_finn.name
}

output "service_name" {
  description = "The web service, as gate-check.sh takes it in SERVICE."
  value       = aws_ecs_service.web.name
}

output "balancer_dns_name" {
  description = "Where domain_name should point."
  value       = aws_lb.web.dns_name
}

output "secret_arn" {
  description = "The secret whose values are filled in by hand."
  value       = aws_secretsmanager_secret.application.arn
}
