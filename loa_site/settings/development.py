"""Settings of the local stack: everything real, on this machine.

A command started by hand finds the stack that `make serve` or `make demo` left running: what its variables are is
recorded beside its data. Variables that are set win.
"""

import json
import os
from pathlib import Path

_HOME = os.environ.get("LOCAL_HOME") or Path(__file__).resolve().parent.parent.parent / ".loa"
_RECORD = Path(_HOME) / "serve" / "environment.json"
if "DATABASE_URL" not in os.environ and _RECORD.is_file():
    for _name, _value in json.loads(_RECORD.read_text()).items():
        os.environ.setdefault(_name, _value)

from loa_site.settings.base import *

DEBUG = env.boolean("DEBUG", False)
ALLOWED_HOSTS = ALLOWED_HOSTS or ["127.0.0.1", "localhost", "[::1]"]
if "EMAIL_BACKEND" not in os.environ:  # mails are files beside the local data
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = EMAIL_FILE_PATH or str(Path(_HOME) / "serve" / "mail")
WHITENOISE_USE_FINDERS = True  # static files are served from where they are, without collecting them

env.refuse_unknown()
