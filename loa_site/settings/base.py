"""What all environments share. Everything that differs between machines comes from the environment variables.

Names that begin with LOA_ become entries of the one dictionary `LOA`; defaults of limits live with their meaning in
`telemetry.configuration`, so that only what a deployment sets appears here.
"""

import os
from pathlib import Path
from typing import Any

from loa_site.security.middleware import SECURITY_MIDDLEWARE
from loa_site.security.policy import csp_settings
from loa_site.settings.environment import Environment
from telemetry import networks
from telemetry.configuration import DEFAULTS
from telemetry.logging import logging_settings
from x402 import cors

env = Environment(os.environ)

BASE_DIR = Path(__file__).resolve().parent.parent.parent

SECRET_KEY = env.text("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.names("SECRET_KEY_FALLBACKS")
DEBUG = False
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS")
PUBLIC_ORIGIN = env.text("LOA_PUBLIC_ORIGIN", "http://127.0.0.1:8402").rstrip("/")
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS", PUBLIC_ORIGIN)

ROOT_URLCONF = "loa_site.urls"
WSGI_APPLICATION = "loa_site.wsgi.application"
ASGI_APPLICATION = "loa_site.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True


OUR_APPS = ["telemetry", "outbound", "billing", "accounts", "x402", "nft", "waitlist", "inference"]

INSTALLED_APPS = [
    "loa_site.admin_app.LoaAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "anymail",
    "corsheaders",
    "csp",
    "django_prometheus",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    *OUR_APPS,
    "loa_site",
]

MIDDLEWARE = [
    "telemetry.middleware.CorrelationMiddleware",
    "loa_site.arriving_bodies.ArrivingBodiesMiddleware",
    "loa_site.unread_bodies.UnreadBodyMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    *SECURITY_MIDDLEWARE,
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "loa_site.error_pages.ErrorPageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [path for path in [BASE_DIR / "static"] if path.is_dir()]

# Two roles on one database: the application's, and the owner's for migrations and for listeners that need a session.
DATABASE_DIRECT_URL = env.text("DATABASE_DIRECT_URL", env.optional("DATABASE_URL"))
LOA_APPLICATION_ROLE = env.text("LOA_APPLICATION_ROLE", "loa_app")
CONNECTS_AS_OWNER = env.text("LOA_DATABASE_ROLE", "application") == "owner"
# The owner need not be able to log in: whoever migrates logs in as another role and takes this one on.
LOA_OWNER_ROLE = env.text("LOA_OWNER_ROLE", "")
THROUGH_POOLER = env.boolean("DATABASE_THROUGH_POOLER", False)

DATABASES: dict[str, dict[str, Any]] = {
    "default": env.database("DATABASE_DIRECT_URL" if CONNECTS_AS_OWNER else "DATABASE_URL")
    | {
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": THROUGH_POOLER,
    }
}
DATABASE_POOL_SIZE = env.integer("DATABASE_POOL_SIZE", 10)
if DATABASE_POOL_SIZE and not CONNECTS_AS_OWNER:
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL_SIZE,
        "timeout": env.integer("DATABASE_POOL_TIMEOUT_SECONDS", 10, minimum=1),
    }
if CONNECTS_AS_OWNER and LOA_OWNER_ROLE:
    DATABASES["default"]["OPTIONS"]["assume_role"] = LOA_OWNER_ROLE
if THROUGH_POOLER:
    DATABASES["default"]["OPTIONS"]["prepare_threshold"] = None

REDIS_URL = env.optional("REDIS_URL")
REDIS_CLUSTER = env.boolean("LOA_REDIS_CLUSTER", False)
# On a cluster Django's cache, which nothing of ours uses, stays in the process: its client knows single servers only.
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": env.optional("LOA_REDIS_KEY_PREFIX") or "",
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1, "IGNORE_EXCEPTIONS": True},
    }
    if REDIS_URL and not REDIS_CLUSTER
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", REDIS_URL or "memory://")
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker outlives any outage of its broker
CELERY_ACCEPT_CONTENT = ["json"]  # anything else in a queue could be code
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_DEFAULT_PRIORITY = 6  # of 0 (first) to 9
CELERY_TASK_ROUTES: dict[str, dict[str, Any]] = {
    "x402.settle_due": {"queue": "settlement", "priority": 0},
    "billing.drain_finalize": {"priority": 0},
    "billing.deliver_webhooks": {"priority": 3},
    "billing.run_bulk_decisions": {"priority": 9},
    "billing.verify_ledger": {"priority": 9},
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SOFT_TIME_LIMIT = 50
CELERY_TASK_TIME_LIMIT = 60
# Above the longest task that is acknowledged late: one that still runs must not be given to another worker (loa.E010).
CELERY_TASK_ANNOTATIONS = {  # a task that is called takes its own priority, one that is named takes its route's
    name: {"priority": route["priority"]} for name, route in CELERY_TASK_ROUTES.items()
}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 120,
    "socket_timeout": 3,
    "socket_connect_timeout": 1,
    "priority_steps": [0, 3, 6, 9],
    "queue_order_strategy": "priority",
    # A sender tries twice and goes on: the sweep finds what nobody was woken for.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.1,
}
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1_000
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["loa_site.parsers.StrictJSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.authentication.BearerAuthentication"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "EXCEPTION_HANDLER": "accounts.api.problems.exception_handler",
}
CSRF_FAILURE_VIEW = "loa_site.problems.csrf_failure"
SPECTACULAR_SETTINGS = {
    "TITLE": "Loa",
    "DESCRIPTION": "Charge for any HTTP endpoint in USDC over x402.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "loa_site.api_schema.add_paid_operations",
    ],
}

# Mail goes by any provider Anymail knows (`anymail.backends.…`), or by SMTP.
EMAIL_BACKEND = env.text("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend")
EMAIL_HOST = env.text("EMAIL_HOST", "localhost")
EMAIL_PORT = env.integer("EMAIL_PORT", 25, minimum=1)
EMAIL_HOST_USER = env.optional("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = env.optional("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", False)
EMAIL_FILE_PATH = env.optional("EMAIL_FILE_PATH")
EMAIL_TIMEOUT = 10  # seconds; a worker's lease on a mail is longer
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Loa <waitlist@localhost>")
ANYMAIL: dict[str, Any] = env.json("ANYMAIL", {})

LOGGING = logging_settings(env.text("LOG_LEVEL", "INFO"))

OTP_TOTP_ISSUER = "Loa staff"
STAFF_AUDIT = "accounts.services.audit.record"  # where what staff do is written down

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 65_536
APPEND_SLASH = False

CORS_ALLOW_ALL_ORIGINS = True  # paid endpoints take no cookies from other origins; wallets call from anywhere
CORS_URLS_REGEX = r"^/(api/v1|v1|facilitator)/.*$"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", *cors.ALLOW_HEADERS]
CORS_EXPOSE_HEADERS = [*cors.EXPOSE_HEADERS]

# Report-only until a deployment has read the reports and says so.
CSP_ENFORCE = env.boolean("CSP_ENFORCE", False)
globals().update(csp_settings(enforce=CSP_ENFORCE))
OTEL_ENABLED = env.boolean("OTEL_ENABLED", False)
# Where a worker, which serves nothing else, answers scrapes; 0: nowhere.
WORKER_METRICS_PORT = env.integer("WORKER_METRICS_PORT", 0)
WORKER_METRICS_HOST = env.text("WORKER_METRICS_HOST", "127.0.0.1")
TRACE_URL = env.optional("TRACE_URL") or ""  # where staff read traces, with {trace_id} in the address

DEFAULT_NETWORK = env.text("LOA_DEFAULT_NETWORK", networks.BASE_SEPOLIA)
NETWORKS: dict[str, Any] = env.json("LOA_NETWORKS", {})
if DEFAULT_NETWORK in networks.KNOWN and DEFAULT_NETWORK not in NETWORKS:
    NETWORKS = NETWORKS | {
        DEFAULT_NETWORK: networks.network(
            DEFAULT_NETWORK,
            rpc_urls=env.names("RPC_URL"),
            pay_to=env.optional("LOA_PAY_TO") or "",
            confirmations=env.integer("LOA_CONFIRMATIONS", 1, minimum=1),
        )
    }

LOA: dict[str, Any] = {
    "ENVIRONMENT": env.text("LOA_ENVIRONMENT", "production"),
    "PUBLIC_ORIGIN": PUBLIC_ORIGIN,
    "REDIS_URL": REDIS_URL,
    "REDIS_KEY_PREFIX": env.optional("LOA_REDIS_KEY_PREFIX") or "",
    "NETWORKS": NETWORKS,
    "DEFAULT_NETWORK": DEFAULT_NETWORK,
    "BACKGROUND_WORK": env.text("LOA_BACKGROUND_WORK", "workers"),
    "RELAYER_PRIVATE_KEY": env.text("LOA_RELAYER_PRIVATE_KEY"),
    "QUOTE_KEYS": env.keys("LOA_QUOTE_KEYS"),
    "QUOTE_KEY_ACTIVE": env.text("LOA_QUOTE_KEY_ACTIVE"),
    "ANSWER_ENCRYPTION_KEY": env.text("LOA_ANSWER_ENCRYPTION_KEY"),
    "API_KEY_PEPPER": env.text("LOA_API_KEY_PEPPER"),
    "SIWE_DOMAIN": env.text("LOA_SIWE_DOMAIN", PUBLIC_ORIGIN.partition("://")[2]),
    "SIWE_URI": env.text("LOA_SIWE_URI", PUBLIC_ORIGIN),
    "ALCHEMY_API_KEY": env.optional("ALCHEMY_API_KEY") or "",
}

# Any other key of the table may be set too, as LOA_ and its name, in the kind of its documented default.
for _name, _default in DEFAULTS.items():
    if _name not in LOA and env.optional(f"LOA_{_name}") is not None:
        LOA[_name] = env.like(f"LOA_{_name}", _default)

env.optional("LOA_PORT")  # read by the launcher, known here so that it is not refused
