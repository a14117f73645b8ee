# Alarms, and whom they tell. Each has actions in both directions, decides what missing data means, and links its
# runbook. The topic always exists: an alarm without an action is a dashboard (Bridgebuilder deep review, VIII).

module "alarm_catalogue" {
  source = "./modules/alarm_catalogue"

  runbook_base_url = var.runbook_base_url
}

resource "aws_sns_topic" "loa_finn_alarms" {
  name              = "loa-finn-alarms-${var.environment}"
  kms_master_key_id = aws_kms_key.purpose["alarms"].arn
}

# Only this account's alarms may publish, and only over TLS.
resource "aws_sns_topic_policy" "loa_finn_alarms" {
  arn = aws_sns_topic.loa_finn_alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.loa_finn_alarms.arn
        Condition = {
          StringEquals = { "aws:SourceAccount" = var.aws_account_id }
          ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:cloudwatch:${var.aws_region}:${var.aws_account_id}:alarm:*" }
        }
      },
      {
        Sid       = "OnlyEncrypted"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.loa_finn_alarms.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# Stays in PendingConfirmation until its reader follows the link in the mail: that happens outside of Terraform.
resource "aws_sns_topic_subscription" "alarm_email" {
  topic_arn = aws_sns_topic.loa_finn_alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_sns_topic_subscription" "alarm_webhook" {
  count = var.alarm_webhook_url == null ? 0 : 1

  topic_arn              = aws_sns_topic.loa_finn_alarms.arn
  protocol               = "https"
  endpoint               = var.alarm_webhook_url
  endpoint_auto_confirms = true
}

# ---- The five alarms of plan 11.2

resource "aws_cloudwatch_metric_alarm" "cpu_high" {
  alarm_name          = "loa-finn-cpu-high-${var.environment}"
  alarm_description   = "CRITICAL: the web tasks use more than 80 % of their CPU for 15 minutes. ${var.runbook_base_url}/cpu-high.md"
  namespace           = "AWS/ECS"
  metric_name         = "CPUUtilization"
  dimensions          = { ClusterName = aws_ecs_cluster.loa_finn.name, ServiceName = aws_ecs_service.web.name }
  statistic           = "Average"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 80
  period              = 300
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.loa_finn_alarms.arn]
  ok_actions          = [aws_sns_topic.loa_finn_alarms.arn]
  tags                = { severity = "CRITICAL" }
}

resource "aws_cloudwatch_metric_alarm" "memory_high" {
  alarm_name          = "loa-finn-memory-high-${var.environment}"
  alarm_description   = "CRITICAL: the web tasks use more than 80 % of their memory for 15 minutes. ${var.runbook_base_url}/memory-high.md"
  namespace           = "AWS/ECS"
  metric_name         = "MemoryUtilization"
  dimensions          = { ClusterName = aws_ecs_cluster.loa_finn.name, ServiceName = aws_ecs_service.web.name }
  statistic           = "Average"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 80
  period              = 300
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.loa_finn_alarms.arn]
  ok_actions          = [aws_sns_topic.loa_finn_alarms.arn]
  tags                = { severity = "CRITICAL" }
}

# A share of the requests, counted by the load balancer: an error that a task could not even log counts as well.
resource "aws_cloudwatch_metric_alarm" "error_5xx_rate" {
  alarm_name          = "loa-finn-5xx-rate-${var.environment}"
  alarm_description   = "CRITICAL: more than 1 % of the requests fail by our fault for 10 minutes. ${var.runbook_base_url}/5xx-rate.md"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.loa_finn_alarms.arn]
  ok_actions          = [aws_sns_topic.loa_finn_alarms.arn]
  tags                = { severity = "CRITICAL" }

  metric_query {
    id          = "rate"
    label       = "Failed requests in percent"
    expression  = "IF(requests > 0, 100 * (FILL(from_tasks, 0) + FILL(from_balancer, 0)) / requests, 0)"
    return_data = true
  }

  metric_query {
    id = "requests"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "RequestCount"
      dimensions  = { LoadBalancer = aws_lb.web.arn_suffix }
      stat        = "Sum"
      period      = 300
    }
  }

  metric_query {
    id = "from_tasks"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "HTTPCode_Target_5XX_Count"
      dimensions  = { LoadBalancer = aws_lb.web.arn_suffix }
      stat        = "Sum"
      period      = 300
    }
  }

  metric_query {
    id = "from_balancer"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "HTTPCode_ELB_5XX_Count"
      dimensions  = { LoadBalancer = aws_lb.web.arn_suffix }
      stat        = "Sum"
      period      = 300
    }
  }
}

# The backlog itself, as a worker logs it every minute, not the number of lines about it.
resource "aws_cloudwatch_log_metric_filter" "billing_pending" {
  name           = "loa-finn-billing-pending-${var.environment}"
  log_group_name = aws_cloudwatch_log_group.loa_finn.name
  pattern        = "{ $.metric = \"billing_pending_reconciliation_count\" }"

  metric_transformation {
    namespace     = local.metric_space
    name          = "BillingPendingCount"
    value         = "$.value"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "billing_pending_high" {
  alarm_name          = "loa-finn-billing-pending-high-${var.environment}"
  alarm_description   = "CRITICAL: more than ten dead letters wait to be booked. ${var.runbook_base_url}/billing-pending-high.md"
  namespace           = local.metric_space
  metric_name         = "BillingPendingCount"
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 10
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.loa_finn_alarms.arn]
  ok_actions          = [aws_sns_topic.loa_finn_alarms.arn]
  tags                = { severity = "CRITICAL" }
}

# Tasks that should run and do not. The desired count alone never drifts: it is what we asked for.
resource "aws_cloudwatch_metric_alarm" "ecs_desired_count_drift" {
  alarm_name          = "loa-finn-desired-count-drift-${var.environment}"
  alarm_description   = "CRITICAL: fewer web tasks run than should, for three minutes. ${var.runbook_base_url}/desired-count-drift.md"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.loa_finn_alarms.arn]
  ok_actions          = [aws_sns_topic.loa_finn_alarms.arn]
  tags                = { severity = "CRITICAL" }

  metric_query {
    id          = "drift"
    label       = "Missing tasks"
    expression  = "desired - FILL(running, 0)"
    return_data = true
  }

  metric_query {
    id = "desired"

    metric {
      namespace   = "ECS/ContainerInsights"
      metric_name = "DesiredTaskCount"
      dimensions  = { ClusterName = aws_ecs_cluster.loa_finn.name, ServiceName = aws_ecs_service.web.name }
      stat        = "Maximum"
      period      = 60
    }
  }

  metric_query {
    id = "running"

    metric {
      namespace   = "ECS/ContainerInsights"
      metric_name = "RunningTaskCount"
      dimensions  = { ClusterName = aws_ecs_cluster.loa_finn.name, ServiceName = aws_ecs_service.web.name }
      stat        = "Minimum"
      period      = 60
    }
  }
}

# ---- Plan 12.3: the settlement circuit

resource "aws_cloudwatch_log_metric_filter" "settlement_circuit_open" {
  name           = "loa-finn-settlement-circuit-open-${var.environment}"
  log_group_name = aws_cloudwatch_log_group.loa_finn.name
  pattern        = "{ $.metric = \"settlement.circuit.state_change\" && $.to = \"OPEN\" }"

  metric_transformation {
    namespace     = local.metric_space
    name          = "SettlementCircuitOpenCount"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "settlement_circuit_open" {
  alarm_name          = "loa-finn-settlement-circuit-open-${var.environment}"
  alarm_description   = "P1: the settlement circuit opened: payments fall back to our own relayer. ${var.runbook_base_url}/settlement-circuit-open.md"
  namespace           = local.metric_space
  metric_name         = "SettlementCircuitOpenCount"
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.loa_finn_alarms.arn]
  ok_actions          = [aws_sns_topic.loa_finn_alarms.arn]
  tags                = { severity = "P1" }
}

# ---- The stores

locals {
  store_alarms = {
    redis_memory_high = {
      namespace  = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", statistic = "Maximum", threshold = 70, period = 300, periods = 3
      comparison = "GreaterThanThreshold", severity = "WARNING", summary = "Redis uses more than 70 % of its memory."
      dimensions = { ReplicationGroupId = aws_elasticache_replication_group.redis.replication_group_id }
    }
    database_cpu_high = {
      namespace  = "AWS/RDS", metric = "CPUUtilization", statistic = "Average", threshold = 80, period = 300, periods = 3
      comparison = "GreaterThanThreshold", severity = "CRITICAL", summary = "The database uses more than 80 % of its CPU."
      dimensions = { DBInstanceIdentifier = aws_db_instance.postgres.identifier }
    }
    database_storage_low = {
      namespace  = "AWS/RDS", metric = "FreeStorageSpace", statistic = "Minimum", threshold = 10 * 1024 * 1024 * 1024, period = 300, periods = 1
      comparison = "LessThanThreshold", severity = "P1", summary = "The database has less than 10 GiB left."
      dimensions = { DBInstanceIdentifier = aws_db_instance.postgres.identifier }
    }
    database_connections_high = {
      namespace  = "AWS/RDS", metric = "DatabaseConnections", statistic = "Maximum", threshold = var.database.connections_alarmed, period = 60, periods = 3
      comparison = "GreaterThanThreshold", severity = "CRITICAL", summary = "The database's connections run out."
      dimensions = { DBInstanceIdentifier = aws_db_instance.postgres.identifier }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "store" {
  for_each = local.store_alarms

  alarm_name          = "loa-finn-${replace(each.key, "_", "-")}-${var.environment}"
  alarm_description   = "${each.value.severity}: ${each.value.summary} ${var.runbook_base_url}/${replace(each.key, "_", "-")}.md"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.loa_finn_alarms.arn]
  ok_actions          = [aws_sns_topic.loa_finn_alarms.arn]
  tags                = { severity = each.value.severity }
}

# ---- What the service says about itself

resource "aws_cloudwatch_log_metric_filter" "event" {
  for_each = module.alarm_catalogue.log_alarms

  name           = "loa-finn-${each.value.slug}-${var.environment}"
  log_group_name = aws_cloudwatch_log_group.loa_finn.name
  pattern        = each.value.pattern

  metric_transformation {
    namespace     = local.metric_space
    name          = each.key
    value         = each.value.value
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "event" {
  for_each = module.alarm_catalogue.log_alarms

  alarm_name          = "loa-finn-${each.value.slug}-${var.environment}"
  alarm_description   = "${each.value.severity}: ${each.value.summary} ${each.value.runbook}"
  namespace           = local.metric_space
  metric_name         = each.key
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.loa_finn_alarms.arn]
  ok_actions          = [aws_sns_topic.loa_finn_alarms.arn]
  tags                = { severity = each.value.severity }
}
