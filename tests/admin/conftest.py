"""Staff users and the books they look at."""

import secrets
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.plugin import DjangoDbBlocker

from loa_site.roles import write_groups
from tests.admin import policy
from tests.admin.books import Book, write_book


@pytest.fixture(autouse=True, scope="session")
def _roles(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The groups as the table of roles says now: the database was migrated when it said something else, perhaps."""
    if settings.TEST_SERVICES:
        with django_db_blocker.unblock():
            write_groups()


@pytest.fixture(autouse=True)
def _policy_is_enforced() -> Iterator[None]:
    with policy.enforced():
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
