# One key for each purpose: whoever may read logs cannot read the database. The tasks' own key is var.kms_key_arn.

locals {
  key_purposes = {
    alarms   = { services = ["cloudwatch.amazonaws.com", "sns.amazonaws.com"], actions = ["kms:Decrypt", "kms:GenerateDataKey*"] }
    logs     = { services = ["logs.${var.aws_region}.amazonaws.com"], actions = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"] }
    database = { services = ["rds.amazonaws.com"], actions = ["kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"] }
    cache    = { services = ["elasticache.amazonaws.com"], actions = ["kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"] }
    images   = { services = ["ecr.amazonaws.com"], actions = ["kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"] }
  }
}

resource "aws_kms_key" "purpose" {
  for_each = local.key_purposes

  description             = "${local.name} ${each.key}"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  # In a key's own policy "*" is the key itself; the account's administrators keep it from being orphaned.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "Administration", Effect = "Allow", Principal = { AWS = local.root_arn }, Action = "kms:*", Resource = "*" },
      {
        Sid       = "Service"
        Effect    = "Allow"
        Principal = { Service = each.value.services }
        Action    = each.value.actions
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = var.aws_account_id } }
      },
    ]
  })
}

resource "aws_kms_alias" "purpose" {
  for_each = local.key_purposes

  name          = "alias/${local.name}-${each.key}"
  target_key_id = aws_kms_key.purpose[each.key].key_id
}

resource "aws_secretsmanager_secret" "application" {
  #checkov:skip=CKV2_AWS_57:The relayer's and the quote keys are rotated by people (infra/runbooks/rotate-secrets.md): a new relayer needs gas before it is used, and old quote keys must stay until their quotes expire.
  name                    = "${local.name}/application"
  description             = "One JSON object: ${join(", ", local.secret_names)}. Filled in by hand; never by Terraform."
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 30
}
