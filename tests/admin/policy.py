"""The content security policy as it is when a deployment enforces it."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.test import override_settings

from loa_site.security.policy import csp_settings


@contextmanager
def enforced() -> Iterator[None]:
    """Deployments begin with reports only; pages must hold under the policy itself."""
    with override_settings(CONTENT_SECURITY_POLICY_REPORT_ONLY=None, **csp_settings(enforce=True)):
        yield
