"""ASGI entry point: kept importable and tested, for sites that mount Loa beside asynchronous views."""

import os

from django.core.asgi import get_asgi_application

from loa_site.start import require_no_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loa_site.settings.production")

application = get_asgi_application()
require_no_errors()
