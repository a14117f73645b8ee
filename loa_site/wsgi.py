"""WSGI entry point: what granian serves, with threads."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from loa_site.ending import watch_for_end
from loa_site.start import require_no_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loa_site.settings.production")

application = get_wsgi_application()
_ = get_resolver().url_patterns  # a process that imports its views only now would make its first payer wait for it
require_no_errors()
watch_for_end()
