# Runs against a mock of the provider: it proves wiring, types and rules, not AWS's own checks.

mock_provider "aws" {
  override_during = plan

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:us-east-1:123456789012:loa-finn-alarms-staging" }
  }

  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:loa" }
  }
}

variables {
  environment        = "staging"
  aws_region         = "us-east-1"
  aws_account_id     = "123456789012"
  kms_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  alarm_email        = "oncall@example.com"
  runbook_base_url   = "https://runbooks.example.com/infra/runbooks"
  image              = "123456789012.dkr.ecr.us-east-1.amazonaws.com/loa-finn-staging@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  domain_name        = "loa.example.com"
  certificate_arn    = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
  vpc_id             = "vpc-0123456789abcdef0"
  public_subnet_ids  = ["subnet-0a", "subnet-0b"]
  private_subnet_ids = ["subnet-0c", "subnet-0d"]
  access_log_bucket  = "loa-finn-access-logs"
  redis_password     = "only-for-tests-only-for-tests-only-for-tests"
  default_network    = "eip155:84532"
  pay_to             = "0x1111111111111111111111111111111111111111"
}

run "every_alarm_tells_the_topic_in_both_directions" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in concat(
        [aws_cloudwatch_metric_alarm.cpu_high, aws_cloudwatch_metric_alarm.memory_high, aws_cloudwatch_metric_alarm.error_5xx_rate,
        aws_cloudwatch_metric_alarm.billing_pending_high, aws_cloudwatch_metric_alarm.ecs_desired_count_drift, aws_cloudwatch_metric_alarm.settlement_circuit_open],
        values(aws_cloudwatch_metric_alarm.store), values(aws_cloudwatch_metric_alarm.event),
      ) : contains(alarm.alarm_actions, aws_sns_topic.loa_finn_alarms.arn) && contains(alarm.ok_actions, aws_sns_topic.loa_finn_alarms.arn)
    ])
    error_message = "An alarm must have the topic in alarm_actions and ok_actions."
  }

  assert {
    condition     = aws_sns_topic.loa_finn_alarms.name == "loa-finn-alarms-staging"
    error_message = "The topic's name must carry the environment."
  }

  assert {
    condition     = strcontains(aws_iam_role_policy.task.policy, var.kms_key_arn) && !strcontains(aws_iam_role_policy.task.policy, "\"Resource\":\"*\"")
    error_message = "The tasks must decrypt with the one key."
  }
}

run "no_kind_of_task_is_a_single_writer" {
  command = plan

  variables {
    task_counts = { web = 4, settlement = 3, worker = 3, beat = 2 }
  }

  assert {
    condition     = aws_ecs_service.web.desired_count == 4 && aws_ecs_service.worker["settlement"].desired_count == 3 && aws_ecs_service.worker["beat"].desired_count == 2
    error_message = "Each kind must be allowed several tasks."
  }

  assert {
    condition     = aws_ecs_service.web.deployment_minimum_healthy_percent == 100 && alltrue([for s in aws_ecs_service.worker : s.deployment_minimum_healthy_percent == 100])
    error_message = "A deploy must start new tasks before it stops old ones."
  }
}

run "refuses_real_money_in_staging" {
  command = plan

  variables {
    default_network = "eip155:8453"
  }

  expect_failures = [var.default_network]
}

run "refuses_a_tag_for_an_image" {
  command = plan

  variables {
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/loa-finn:latest"
  }

  expect_failures = [var.image]
}

run "refuses_alarms_that_nobody_reads" {
  command = plan

  variables {
    alarm_email = ""
  }

  expect_failures = [var.alarm_email]
}

run "refuses_an_unknown_environment" {
  command = plan

  variables {
    environment     = "prod"
    default_network = "eip155:84532"
  }

  expect_failures = [var.environment]
}

run "refuses_a_short_redis_password" {
  command = plan

  variables {
    redis_password = "short"
  }

  expect_failures = [var.redis_password]
}
