"""Settings of the tests: the services come from the test runner, the secrets are fixed and worthless.

Without the runner the pure tests still start; whatever touches a service then fails to connect.
"""

import json
import os

_VARIABLES = {
    "SECRET_KEY": "only-for-tests-" + "0" * 50,
    "DATABASE_URL": "postgresql://loa_app:absent@127.0.0.1:1/absent",
    "DATABASE_POOL_SIZE": "0",
    "LOA_ENVIRONMENT": "test",
    "LOA_PUBLIC_ORIGIN": "http://testserver",
    "LOA_RELAYER_PRIVATE_KEY": "0x" + "11" * 32,
    "LOA_REFUND_PRIVATE_KEY": "0x" + "66" * 32,
    "LOA_PAY_TO": "0x1111111111111111111111111111111111111111",
    "LOA_QUOTE_KEYS": "t1:" + "22" * 32,
    "LOA_QUOTE_KEY_ACTIVE": "t1",
    "LOA_ANSWER_ENCRYPTION_KEY": "33" * 32,
    "LOA_API_KEY_PEPPER": "44" * 32,
    "LOA_WEBHOOK_KEY": "55" * 32,
    "RPC_URL": "http://127.0.0.1:1",
    # A test of a limit sets its own.
    "LOA_RATE_LIMITS": json.dumps(
        dict.fromkeys(["key", "wallet", "challenge", "sign_in", "waitlist", "waitlist_all"], 10**6)
    ),
}
for _name, _value in _VARIABLES.items():
    os.environ.setdefault(_name, _value)

from loa_site.settings.base import *

ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
WHITENOISE_USE_FINDERS = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

# Set by the runner for the tests themselves: whether services are there, and the URL that may create databases.
TEST_SERVICES = env.boolean("LOA_TEST_SERVICES", False)
TEST_ADMIN_DATABASE_URL = env.optional("LOA_TEST_ADMIN_DATABASE_URL")
TEST_TEMPLATE_DATABASE = env.optional("LOA_TEST_TEMPLATE_DATABASE")
WAITLIST_TIMINGS = env.integer("LOA_WAITLIST_TIMINGS", 150)  # of each kind; 2000 for the figure that is reported
EVERY_VIEW = env.boolean("LOA_EVERY_VIEW", False)  # every page in every view, minutes instead of seconds
MODEL_STEPS = env.integer("LOA_MODEL_STEPS", 400)

env.refuse_unknown()
