# What differs between environments. Nothing that is secret has a default, and nothing secret is stored in the state.

variable "environment" {
  description = "Which environment this is; part of every name."
  type        = string

  validation {
    condition     = contains(["production", "staging"], var.environment)
    error_message = "environment must be production or staging."
  }
}

variable "aws_region" {
  description = "The region everything lives in."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-[0-9]$", var.aws_region))
    error_message = "aws_region must be a region's name, for example us-east-1."
  }
}

variable "aws_account_id" {
  description = "The account of this environment; a plan for another one is refused."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.aws_account_id))
    error_message = "aws_account_id must be twelve digits."
  }
}

variable "kms_key_arn" {
  description = "The one key that the tasks may decrypt secrets with. No default: whoever applies names it."
  type        = string
  nullable    = false

  validation {
    # The region and the account are compared as well: another account's key could be taken away at any time.
    condition     = can(regex("^arn:aws(-cn|-us-gov)?:kms:${var.aws_region}:${var.aws_account_id}:key/(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$", var.kms_key_arn))
    error_message = "kms_key_arn must be the full ARN of one key of aws_account_id in aws_region (arn:aws:kms:REGION:ACCOUNT:key/ID): no wildcard, no alias."
  }
}

variable "kms_signing_key_arn" {
  description = "An asymmetric key that the tasks may sign anchors with; null when anchors are signed by a file's key."
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

variable "alarm_email" {
  description = "Who is told about alarms. No default: a topic without a subscriber is a dashboard."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^@[:space:]]+@[^@[:space:]]+\\.[^@[:space:]]+$", var.alarm_email))
    error_message = "alarm_email must be an address."
  }
}

variable "alarm_webhook_url" {
  description = "An HTTPS endpoint that confirms its own subscription; for environments where nobody reads mail."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_webhook_url == null || can(regex("^https://[^[:space:]]+$", var.alarm_webhook_url))
    error_message = "alarm_webhook_url must begin with https://."
  }
}

variable "runbook_base_url" {
  description = "Where infra/runbooks is published; each alarm's description links to its page."
  type        = string

  validation {
    condition     = can(regex("^https://[^[:space:]]+[^/]$", var.runbook_base_url))
    error_message = "runbook_base_url must begin with https:// and end without a slash."
  }
}

variable "image" {
  description = "The image to run, by digest: a tag can be moved under a running service."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must name a digest (…@sha256:…), never a tag such as latest."
  }
}

variable "domain_name" {
  description = "The host that payers call."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain_name))
    error_message = "domain_name must be a host name in lower case."
  }
}

variable "certificate_arn" {
  description = "The certificate of domain_name."
  type        = string

  validation {
    condition     = can(regex("^arn:aws(-cn|-us-gov)?:acm:[a-z0-9-]+:[0-9]{12}:certificate/[0-9a-f-]{36}$", var.certificate_arn))
    error_message = "certificate_arn must be the full ARN of a certificate."
  }
}

variable "zone_id" {
  description = "The Route 53 zone of domain_name; null when the name is managed elsewhere."
  type        = string
  default     = null
}

variable "vpc_id" {
  description = "The network to run in."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]{8,17}$", var.vpc_id))
    error_message = "vpc_id must begin with vpc-."
  }
}

variable "public_subnet_ids" {
  description = "Subnets of the load balancer, in different zones."
  type        = set(string)

  validation {
    condition     = length(var.public_subnet_ids) >= 2
    error_message = "public_subnet_ids needs two subnets in two zones."
  }
}

variable "private_subnet_ids" {
  description = "Subnets of the tasks, the database and Redis, in different zones."
  type        = set(string)

  validation {
    condition     = length(var.private_subnet_ids) >= 2 && length(setintersection(var.private_subnet_ids, var.public_subnet_ids)) == 0
    error_message = "private_subnet_ids needs two subnets that are not public ones."
  }
}

variable "access_log_bucket" {
  description = "The bucket that takes the load balancer's access logs."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket must be a bucket's name."
  }
}

variable "redis_password" {
  description = "The password of the application's Redis user. Ephemeral: it reaches AWS and neither plan nor state."
  type        = string
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9!&#$^<>-]{32,128}$", var.redis_password))
    error_message = "redis_password must have 32 to 128 characters."
  }
}

variable "redis_password_version" {
  description = "Raise it to send a new redis_password."
  type        = number
  default     = 1

  validation {
    condition     = var.redis_password_version >= 1 && floor(var.redis_password_version) == var.redis_password_version
    error_message = "redis_password_version must be a whole number of at least 1."
  }
}

variable "default_network" {
  description = "The CAIP-2 id of the chain that money arrives on. Production takes real money, staging never does."
  type        = string

  validation {
    condition     = can(regex("^eip155:[1-9][0-9]*$", var.default_network))
    error_message = "default_network must be a CAIP-2 id, for example eip155:8453."
  }

  validation {
    condition     = (var.environment == "production") == (var.default_network != "eip155:84532")
    error_message = "production must not use the Base Sepolia test chain, and staging must."
  }
}

variable "pay_to" {
  description = "The address that payments go to."
  type        = string

  validation {
    condition     = can(regex("^0x[0-9a-fA-F]{40}$", var.pay_to)) && !can(regex("^0x0{40}$", var.pay_to))
    error_message = "pay_to must be an address of 40 hex digits, and not the zero address."
  }
}

variable "otlp_endpoint" {
  description = "Where spans are sent, by OTLP/HTTP; null leaves tracing off."
  type        = string
  default     = null

  validation {
    condition     = var.otlp_endpoint == null || can(regex("^https?://[^[:space:]]+$", var.otlp_endpoint))
    error_message = "otlp_endpoint must be a URL."
  }
}

variable "task_counts" {
  description = "How many tasks of each kind; docs/how-to/scale-out.md has the arithmetic."
  type = object({
    web        = optional(number, 2)
    web_max    = optional(number, 8)
    settlement = optional(number, 2)
    worker     = optional(number, 2)
    beat       = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.task_counts.web >= 2 && var.task_counts.web_max >= var.task_counts.web
    error_message = "task_counts.web must be at least 2 (a deploy must not be an outage) and web_max not below it."
  }

  validation {
    condition     = var.task_counts.settlement >= 1 && var.task_counts.worker >= 1 && var.task_counts.beat >= 1
    error_message = "task_counts needs at least one of each worker: without one, money stands still."
  }
}

variable "database" {
  description = "The size of the database."
  type = object({
    instance_class      = optional(string, "db.m7g.large")
    allocated_gib       = optional(number, 100)
    max_allocated_gib   = optional(number, 1000)
    connections_alarmed = optional(number, 600)
  })
  default = {}

  validation {
    condition     = startswith(var.database.instance_class, "db.") && var.database.allocated_gib >= 20 && var.database.max_allocated_gib >= var.database.allocated_gib
    error_message = "database.instance_class must begin with db., and max_allocated_gib must not be below allocated_gib."
  }
}

variable "redis_node_type" {
  description = "The size of a Redis node."
  type        = string
  default     = "cache.t4g.small"

  validation {
    condition     = startswith(var.redis_node_type, "cache.")
    error_message = "redis_node_type must begin with cache."
  }
}

variable "log_retention_days" {
  description = "How long log lines are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([365, 400, 545, 731, 1096, 1827], var.log_retention_days)
    error_message = "log_retention_days must be a value CloudWatch knows, and at least a year: these are records of payments."
  }
}

variable "egress_cidrs" {
  description = "Where tasks may connect by HTTPS: chain nodes, facilitators and models have no fixed addresses."
  type        = set(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = alltrue([for cidr in var.egress_cidrs : can(cidrnetmask(cidr))])
    error_message = "egress_cidrs must be IPv4 ranges."
  }
}
