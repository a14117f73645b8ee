locals {
  name         = "loa-finn-${var.environment}"
  is_live      = var.environment == "production"
  partition    = split(":", var.kms_key_arn)[1]
  metric_space = "LoaFinn/${var.environment}"
  root_arn     = "arn:${local.partition}:iam::${var.aws_account_id}:root"

  ports = { web = 8402, postgres = 5432, redis = 6379, https = 443, otlp = 4318, metrics = 9464 }

  # One line each; the values are put into the secret by hand, never by Terraform.
  secret_names = [
    "SECRET_KEY", "DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL", "CELERY_BROKER_URL", "RPC_URL",
    "LOA_RELAYER_PRIVATE_KEY", "LOA_QUOTE_KEYS", "LOA_QUOTE_KEY_ACTIVE", "LOA_ANSWER_ENCRYPTION_KEY",
    "LOA_API_KEY_PEPPER", "LOA_METRICS_TOKEN",
  ]

  plain = merge(
    {
      DJANGO_SETTINGS_MODULE   = "loa_site.settings.production"
      ALLOWED_HOSTS            = var.domain_name
      LOA_ENVIRONMENT          = var.environment
      LOA_OWNER_ROLE           = "loa_owner"
      LOA_PUBLIC_ORIGIN        = "https://${var.domain_name}"
      LOA_DEFAULT_NETWORK      = var.default_network
      LOA_PAY_TO               = var.pay_to
      LOA_POSTGRES_FAILOVER    = "managed"
      LOA_TRUSTED_PROXY_COUNT  = "1"
      PROMETHEUS_MULTIPROC_DIR = "/run/loa/metrics"
      OTEL_ENABLED             = var.otlp_endpoint == null ? "false" : "true"
    },
    var.otlp_endpoint == null ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT = var.otlp_endpoint },
  )

  celery = ["python", "-m", "celery", "-A", "loa_site.celery"]

  # Each kind may run any number of tasks: rows and leases decide who does what, so nothing here is a single writer.
  workers = {
    settlement = { count = var.task_counts.settlement, command = concat(local.celery, ["worker", "-Q", "settlement", "-c", "1", "-n", "settlement@%h", "--without-mingle"]) }
    worker     = { count = var.task_counts.worker, command = concat(local.celery, ["worker", "-Q", "default", "-c", "2", "-n", "default@%h", "--without-mingle"]) }
    beat       = { count = var.task_counts.beat, command = concat(local.celery, ["beat", "--schedule", "/tmp/beat-schedule", "--pidfile", ""]) }
  }
}
