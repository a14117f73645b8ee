"""Raw connections for attacks: as the tables' owner, as the application, as a superuser."""

import os
from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.factories import ledger


@pytest.fixture(scope="session")
def payment_table(django_db_setup: None) -> None:
    ledger.make_payment_table()


@pytest.fixture
def owner() -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings.DATABASE_DIRECT_URL, autocommit=True) as raw:
        yield raw


@pytest.fixture
def application() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as raw:
        yield raw


@pytest.fixture
def superuser() -> Iterator[psycopg.Connection]:
    name = connection.settings_dict["NAME"]
    url = settings.TEST_ADMIN_DATABASE_URL.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(url, autocommit=True) as raw:
        yield raw
