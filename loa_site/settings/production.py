"""Settings of a deployment: no defaults for secrets, HTTPS everywhere, nothing that only a test may do."""

from django.core.exceptions import ImproperlyConfigured

from loa_site.settings.base import *

DEBUG = env.boolean("DEBUG", False)  # read only to refuse it by its number, loa.E004
SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", True)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REDIRECT_EXEMPT = [r"^(livez|readyz|healthz|health|health/deps|metrics)$"]
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.boolean("SECURE_HSTS_INCLUDE_SUBDOMAINS", True)
SECURE_HSTS_PRELOAD = env.boolean("SECURE_HSTS_PRELOAD", True)
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

if LOA.get("CRASH_POINTS"):
    raise ImproperlyConfigured("LOA_CRASH_POINTS is for tests: a deployment that kills itself loses money.")

env.refuse_unknown()
