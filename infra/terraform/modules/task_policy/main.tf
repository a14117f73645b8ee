# What the tasks may do, as one policy document. No provider: `terraform test` proves it anywhere.

locals {
  partition = split(":", var.kms_key_arn)[1]

  statements = concat(
    [
      {
        # The statement named Resource "*" until finding medium-7 (Bridgebuilder deep review, VIII.1): that let a task
        # decrypt and sign with every key of the account. One key, named by whoever applies; there is no default.
        Sid       = "KMSDecrypt"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.aws_region}.amazonaws.com" } }
      },
      {
        Sid      = "CloudWatchLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "arn:${local.partition}:logs:${var.aws_region}:${var.aws_account_id}:log-group:/ecs/loa-finn-${var.environment}:*"
      },
    ],
    # A key has one purpose: what decrypts cannot sign, and what signs cannot decrypt.
    var.kms_signing_key_arn == null ? [] : [
      {
        Sid      = "KMSSign"
        Effect   = "Allow"
        Action   = ["kms:Sign", "kms:GetPublicKey"]
        Resource = var.kms_signing_key_arn
      },
    ],
  )
}
