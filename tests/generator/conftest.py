"""The generated books of 300,000 postings, made once per schema and read by every test here."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client

from tests.factories.own_ledger import own_ledger_of
from tests.generator.books import Server, kept_books

POSTINGS = 300_000


@pytest.fixture(scope="session")
def server() -> Server:
    """The database server of this test run."""
    return Server(settings.TEST_ADMIN_DATABASE_URL, settings.TEST_TEMPLATE_DATABASE)


@pytest.fixture(scope="session")
def books_database(server: Server) -> str:
    """The name of the database with the generated books."""
    return kept_books(server, POSTINGS)


@pytest.fixture
def books(server: Server, books_database: str, transactional_db: None) -> Iterator[str]:
    """The code under test reads the generated books; what it writes is rolled back."""
    with own_ledger_of(server.environment(books_database)), transaction.atomic():
        yield books_database
        transaction.set_rollback(True)


@pytest.fixture
def staff(books: str) -> Client:
    """A browser in which somebody with every permission is signed in, for the length of the test."""
    client = Client()
    client.force_login(User.objects.create_superuser("measuring", password="only-for-tests"))
    return client
