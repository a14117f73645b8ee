# The service and its workers. Every kind runs several tasks: who appends and who settles is decided by leases and
# fencing tokens in the rows, so a deploy starts new tasks before it stops old ones.

module "task_policy" {
  source = "./modules/task_policy"

  environment         = var.environment
  aws_region          = var.aws_region
  aws_account_id      = var.aws_account_id
  kms_key_arn         = var.kms_key_arn
  kms_signing_key_arn = var.kms_signing_key_arn
}

locals {
  tasks_may_assume = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.aws_account_id } }
    }]
  })

  container = {
    image                  = var.image
    essential              = true
    user                   = "10001:10001"
    readonlyRootFilesystem = true
    stopTimeout            = 60
    linuxParameters        = { initProcessEnabled = true, capabilities = { add = [], drop = ["ALL"] } }
    mountPoints = [
      { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
      { sourceVolume = "run", containerPath = "/run/loa", readOnly = false },
    ]
    environment = [for name in sort(keys(local.plain)) : { name = name, value = local.plain[name] }]
    secrets     = [for name in local.secret_names : { name = name, valueFrom = "${aws_secretsmanager_secret.application.arn}:${name}::" }]
  }
}

resource "aws_cloudwatch_log_group" "loa_finn" {
  name              = "/ecs/${local.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.purpose["logs"].arn
}

resource "aws_ecr_repository" "loa_finn" {
  name                 = local.name
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.purpose["images"].arn
  }
}

resource "aws_iam_role" "task_execution" {
  name               = "loa-finn-ecs-task-execution-${var.environment}"
  assume_role_policy = local.tasks_may_assume
}

resource "aws_iam_role_policy_attachment" "task_execution" {
  role       = aws_iam_role.task_execution.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

# Starting a task reads the one secret, decrypted by the one key.
resource "aws_iam_role_policy" "task_execution" {
  name = "loa-finn-read-secret"
  role = aws_iam_role.task_execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "ReadSecret", Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = aws_secretsmanager_secret.application.arn },
      { Sid = "KMSDecrypt", Effect = "Allow", Action = ["kms:Decrypt"], Resource = var.kms_key_arn },
    ]
  })
}

resource "aws_iam_role" "task" {
  name               = "loa-finn-ecs-task-${var.environment}"
  assume_role_policy = local.tasks_may_assume
}

resource "aws_iam_role_policy" "task" {
  name   = "loa-finn-task-permissions"
  role   = aws_iam_role.task.id
  policy = module.task_policy.json
}

resource "aws_ecs_cluster" "loa_finn" {
  name = local.name

  # The drift alarm counts running tasks, which only Container Insights reports.
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "web" {
  family                   = local.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 1024
  memory                   = 2048
  execution_role_arn       = aws_iam_role.task_execution.arn
  task_role_arn            = aws_iam_role.task.arn

  container_definitions = jsonencode([merge(local.container, {
    name         = "loa-finn"
    portMappings = [{ containerPort = local.ports.web, protocol = "tcp" }]
    logConfiguration = {
      logDriver = "awslogs"
      options   = { awslogs-group = aws_cloudwatch_log_group.loa_finn.name, awslogs-region = var.aws_region, awslogs-stream-prefix = "web" }
    }
    # A living process is enough here; readiness is the load balancer's question.
    healthCheck = { command = ["CMD", "python", "-m", "loa_site.health.probe"], interval = 15, timeout = 5, retries = 3, startPeriod = 60 }
  })])

  volume {
    name = "tmp"
  }

  volume {
    name = "run"
  }
}

resource "aws_ecs_service" "web" {
  name                               = local.name
  cluster                            = aws_ecs_cluster.loa_finn.id
  task_definition                    = aws_ecs_task_definition.web.arn
  launch_type                        = "FARGATE"
  desired_count                      = var.task_counts.web
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 60
  enable_execute_command             = false
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.web.arn
    container_name   = "loa-finn"
    container_port   = local.ports.web
  }

  lifecycle {
    ignore_changes = [desired_count] # the autoscaler's
  }

  depends_on = [aws_lb_listener.https]
}

resource "aws_appautoscaling_target" "web" {
  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.loa_finn.name}/${aws_ecs_service.web.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.task_counts.web
  max_capacity       = var.task_counts.web_max
}

resource "aws_appautoscaling_policy" "web_cpu" {
  name               = "${local.name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.web.service_namespace
  resource_id        = aws_appautoscaling_target.web.resource_id
  scalable_dimension = aws_appautoscaling_target.web.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = 60
    scale_in_cooldown  = 300
    scale_out_cooldown = 60

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

resource "aws_ecs_task_definition" "worker" {
  for_each = local.workers

  family                   = "${local.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  execution_role_arn       = aws_iam_role.task_execution.arn
  task_role_arn            = aws_iam_role.task.arn

  container_definitions = jsonencode([merge(local.container, {
    name    = "loa-finn-${each.key}"
    command = each.value.command
    logConfiguration = {
      logDriver = "awslogs"
      options   = { awslogs-group = aws_cloudwatch_log_group.loa_finn.name, awslogs-region = var.aws_region, awslogs-stream-prefix = each.key }
    }
  })])

  volume {
    name = "tmp"
  }

  volume {
    name = "run"
  }
}

resource "aws_ecs_service" "worker" {
  for_each = local.workers

  name                               = "${local.name}-${each.key}"
  cluster                            = aws_ecs_cluster.loa_finn.id
  task_definition                    = aws_ecs_task_definition.worker[each.key].arn
  launch_type                        = "FARGATE"
  desired_count                      = each.value.count
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  enable_execute_command             = false
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = false
  }
}
