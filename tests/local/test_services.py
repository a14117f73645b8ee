"""That the test runner gives each run real services, with the roles a deployment has."""

import pytest
from django.db import connection


@pytest.mark.django_db
def test_tests_connect_as_the_application_role() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)")

        assert cursor.fetchone() == ("loa_app", False)
