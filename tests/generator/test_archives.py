"""A closed month as a file: every chain can be followed in it, months follow each other, and a change is noticed."""

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.domain.errors import Refused
from billing.models import Journal
from billing.services.archives import (
    Month,
    archive_month,
    archives_in,
    findings_of,
    manifest_path,
    months_to_archive,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def first_months(folder: Path, count: int) -> list[Month]:
    """The books' oldest months: the first holds a few days, the second a whole month."""
    return months_to_archive(folder)[:count]


def command(*arguments: str) -> dict[str, Any]:
    written = StringIO()
    call_command("ledger_archive", *arguments, "--json", stdout=written)
    answer: dict[str, Any] = json.loads(written.getvalue())
    return answer


def test_two_months_are_written_follow_each_other_and_hold(books: str, folder: Path) -> None:
    months = first_months(folder, 2)

    written = [archive_month(folder, month) for month in months]

    edges = (months[0].begins_at, months[1].following.begins_at)
    recorded = Journal.objects.filter(recorded_at__gte=edges[0], recorded_at__lt=edges[1])
    assert sum(one.journals for one in written) == recorded.count() > 10_000
    assert list(findings_of(archives_in(folder))) == []
    assert months_to_archive(folder)[0] == months[1].following
    for stream, span in written[1].streams.items():
        assert span["first_sequence"] == written[0].streams[stream]["last_sequence"] + 1
        assert span["previous_hash"] == written[0].streams[stream]["last_hash"]


def test_what_is_changed_afterwards_is_named(books: str, folder: Path) -> None:
    [month] = first_months(folder, 1)
    archive = archive_month(folder, month)
    manifest = manifest_path(folder, month)
    text = manifest.read_text()

    content = bytearray(archive.path.read_bytes())
    content[len(content) // 2] ^= 1
    archive.path.write_bytes(content)
    changed = list(findings_of(archives_in(folder)))
    content[len(content) // 2] ^= 1
    archive.path.write_bytes(content)
    manifest.write_text(text.replace(archive.streams["1"]["last_hash"], "00" * 32))
    shortened = list(findings_of(archives_in(folder)))
    manifest.write_text(text)
    archive.path.unlink()
    missing = list(findings_of(archives_in(folder)))

    assert changed == [f"{month}: the file is not the one that was written"]
    assert shortened == [f"{month}: stream 1 does not end where its manifest says"]
    assert missing == [f"{month}: the file is missing"]


def test_a_month_left_out_is_noticed(books: str, folder: Path) -> None:
    first, second, third = first_months(folder, 3)
    for month in (first, second):
        archive_month(folder, month)
    elsewhere = folder / "elsewhere"
    shutil.copytree(folder, elsewhere)
    archived = archives_in(elsewhere)
    manifest_path(elsewhere, second).unlink()

    assert list(findings_of(archived)) == []
    assert third == second.following
    assert [str(month) for month in months_to_archive(elsewhere)][:1] == [str(second)]


def test_a_month_that_is_not_over_is_refused(books: str, folder: Path) -> None:
    with pytest.raises(Refused, match="over"):
        archive_month(folder, Month.of(timezone.now()))

    assert list(folder.iterdir()) == []


def test_the_command_archives_one_month_and_verifies_it(books: str, folder: Path) -> None:
    [month] = first_months(folder, 1)

    assert command(str(folder), "--dry-run")["months"][0] == str(month)
    assert command(str(folder), "--month", str(month))["archived"][0]["journals"] > 0
    verdict = command(str(folder), "--verify")
    archives_in(folder)[0].path.unlink()

    assert (verdict["ok"], verdict["months"], verdict["findings"]) == (True, [str(month)], [])
    with pytest.raises(CommandError, match="does not hold"):
        command(str(folder), "--verify")
