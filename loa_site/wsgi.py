"""WSGI entry point: what granian serves, with threads."""

import os

from django.core.wsgi import get_wsgi_application

from loa_site.start import require_no_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loa_site.settings.production")

application = get_wsgi_application()
require_no_errors()
