variable "environment" {
  description = "production or staging."
  type        = string
}

variable "aws_region" {
  description = "The region of the keys and logs."
  type        = string
}

variable "aws_account_id" {
  description = "The account of the keys and logs."
  type        = string
}

variable "kms_key_arn" {
  description = "The one key that the tasks may decrypt with. No default: whoever applies names it."
  type        = string
  nullable    = false

  validation {
    # The region and the account are compared as well: another account's key could be taken away at any time.
    condition     = can(regex("^arn:aws(-cn|-us-gov)?:kms:${var.aws_region}:${var.aws_account_id}:key/(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$", var.kms_key_arn))
    error_message = "kms_key_arn must be the full ARN of one key of aws_account_id in aws_region (arn:aws:kms:REGION:ACCOUNT:key/ID): no wildcard, no alias."
  }
}

variable "kms_signing_key_arn" {
  description = "The one key that the tasks may sign with; null when they sign with none."
  type        = string
  default     = null

  validation {
    condition     = var.kms_signing_key_arn == null || can(regex("^arn:aws(-cn|-us-gov)?:kms:[a-z0-9-]+:[0-9]{12}:key/(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$", var.kms_signing_key_arn))
    error_message = "kms_signing_key_arn must be the full ARN of one key: no wildcard, no alias."
  }

  validation {
    condition     = var.kms_signing_key_arn == null || var.kms_signing_key_arn != var.kms_key_arn
    error_message = "kms_signing_key_arn and kms_key_arn must differ: a key has one purpose."
  }
}
