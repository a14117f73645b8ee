"""What a process that serves does first in a deployment: refuse to start while the system checks find an error.

`manage.py` runs the checks before its commands; a web server imports the application and would not.
"""

from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from loa_site.checks import ENVIRONMENTS_OF_ONE_MACHINE
from telemetry.configuration import loa


def require_no_errors() -> None:
    """Raise ImproperlyConfigured with every error of the checks; on one machine nothing is checked here."""
    if loa("ENVIRONMENT") in ENVIRONMENTS_OF_ONE_MACHINE:
        return
    errors = [str(message) for message in run_checks() if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("The checks found errors:\n" + "\n".join(errors))
