"""Staff users and the books they look at."""

import secrets
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from loa_site.security.policy import csp_settings
from tests.admin.books import Book, write_book


@pytest.fixture(autouse=True)
def _policy_is_enforced() -> Iterator[None]:
    """Deployments begin with reports only; the pages must hold under the policy itself."""
    with override_settings(CONTENT_SECURITY_POLICY_REPORT_ONLY=None, **csp_settings(enforce=True)):
        yield


@pytest.fixture
def superuser(transactional_db: None) -> User:
    """Somebody with every permission there is."""
    return User.objects.create_superuser(f"root-{secrets.token_hex(4)}", password="only-for-tests")


@pytest.fixture
def staff(superuser: User) -> Client:
    """A browser in which the superuser is signed in."""
    client = Client()
    client.force_login(superuser)
    return client


@pytest.fixture
def book(transactional_db: None) -> Book:
    """One served payment."""
    return write_book()
