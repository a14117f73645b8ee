"""What is kept and for how long is one table, and the command that tells it can also forget."""

import json
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from loa_site.retention import KEPT, sizes
from x402.models import StoredAnswer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def command(*arguments: str) -> dict[str, dict[str, Any]]:
    written = StringIO()
    call_command("retention", *arguments, "--json", stdout=written)
    return {row["table"]: row for row in json.loads(written.getvalue())["tables"]}


def test_every_table_named_exists_and_has_a_size(books: str) -> None:
    known = {model._meta.db_table.replace('"."', ".").strip('"') for model in apps.get_models()}

    assert {kept.table for kept in KEPT} - known == set()
    assert all(size > 0 for size, _ in sizes().values())


def test_it_tells_sizes_and_rules_and_changes_nothing(books: str) -> None:
    before = StoredAnswer.objects.filter(body_encrypted__isnull=False).count()

    told = command()

    assert told["x402_storedanswer"]["rows"] > 20_000
    assert told["billing.journal"]["rule"].startswith("for good")
    assert sum(row["forgotten"] for row in told.values()) == 0
    assert StoredAnswer.objects.filter(body_encrypted__isnull=False).count() == before


def test_applied_it_forgets_everything_that_is_due(books: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE x402_storedanswer SET created_at = created_at - interval '3 days'")
        cursor.execute("UPDATE billing_outboxevent SET created_at = created_at - interval '40 days'")

    told = command("--apply")

    assert told["x402_storedanswer"]["forgotten"] > 100
    assert told["billing_outboxevent"]["forgotten"] > 5_000
    assert StoredAnswer.objects.filter(body_encrypted__isnull=False).count() == 0
