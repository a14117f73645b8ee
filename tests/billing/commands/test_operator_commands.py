"""Operators' commands: JSON for programs, exit codes, trial runs that change nothing."""

import csv
import hashlib
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from pyarrow import parquet

from billing.domain import accounts
from billing.services import dead_letters
from billing.services.append_journal import append
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger


def ask(command: str, *arguments: object, **options: object) -> dict[str, Any]:
    """What a command answers with --json."""
    output = StringIO()
    call_command(command, *[str(argument) for argument in arguments], "--json", stdout=output, **options)
    return json.loads(output.getvalue())


class TestLedgerVerify:
    """`ledger_verify` ends with 1 and names the first bad row."""

    def test_a_whole_ledger_ends_with_zero(self, own_ledger: OwnLedger) -> None:
        append([ledger.suspense_journal()])

        answer = ask("ledger_verify")

        assert (answer["ok"], answer["findings"], answer["postings"]) == (True, [], 2)
        assert {"guards", "streams", "posting_chain", "balances", "credit_notes", "anchors"} <= set(answer["checks"])

    def test_a_tampered_ledger_ends_with_one(self, own_ledger: OwnLedger, capsys: pytest.CaptureFixture[str]) -> None:
        append([ledger.suspense_journal(key="deposit-tampered")])
        own_ledger.tamper("UPDATE billing.posting SET amount = amount * 2")
        output = StringIO()

        with pytest.raises(SystemExit) as end:
            call_command("ledger_verify", stdout=output)

        assert end.value.code == 1
        [(journal_id,)] = ledger.rows("SELECT id FROM billing.journal")
        assert f"streams: journal {journal_id} (stream 0, sequence 1): its hash does not fit" in output.getvalue()


class TestLedgerExport:
    """`ledger_export` writes every posting and a checksum that fits."""

    def test_the_file_holds_every_posting_and_its_checksum_fits(self, own_ledger: OwnLedger, tmp_path: Path) -> None:
        append([ledger.suspense_journal(5, correlation_id="=cmd|' /C calc'!A0"), ledger.suspense_journal(6)])

        answer = ask("ledger_export", tmp_path / "ledger.csv")

        content = (tmp_path / "ledger.csv").read_bytes()
        lines = list(csv.DictReader(StringIO(content.decode())))
        assert answer["lines"] == len(lines) == 4
        assert [int(line["amount"]) for line in lines] == [-5, 5, -6, 6]
        assert lines[0]["correlation_id"] == "'=cmd|' /C calc'!A0"
        assert answer["sha256"] == hashlib.sha256(content).hexdigest()
        assert (tmp_path / "ledger.csv.sha256").read_text() == f"{answer['sha256']}  ledger.csv\n"

    def test_parquet_has_the_same_lines_with_numbers_as_numbers(self, own_ledger: OwnLedger, tmp_path: Path) -> None:
        append([ledger.suspense_journal(5), ledger.suspense_journal(6)])

        answer = ask("ledger_export", tmp_path / "ledger.parquet", "--format", "parquet")

        table = parquet.read_table(tmp_path / "ledger.parquet").to_pydict()
        assert (answer["lines"], table["amount"]) == (4, [-5, 5, -6, 6])
        assert [moment.tzinfo is not None for moment in table["recorded_at"]] == [True] * 4
        digest = hashlib.sha256((tmp_path / "ledger.parquet").read_bytes()).hexdigest()
        assert (tmp_path / "ledger.parquet.sha256").read_text() == f"{digest}  ledger.parquet\n"

    def test_an_empty_ledger_is_a_file_without_lines(self, own_ledger: OwnLedger, tmp_path: Path) -> None:
        answer = ask("ledger_export", tmp_path / "ledger.parquet", "--format", "parquet")

        assert answer["lines"] == 0
        assert parquet.read_table(tmp_path / "ledger.parquet").num_rows == 0

    def test_a_folder_that_is_not_there_is_a_message(self, own_ledger: OwnLedger, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="cannot be written"):
            call_command("ledger_export", str(tmp_path / "absent" / "ledger.csv"))


class TestLedgerImport:
    """Opening balances: checked whole, booked once, by two people."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "opening.csv"
        path.write_text(
            "account,denomination,amount\nuser:acc_1:available,MicroUSD,500\nuser:acc_2:available,MicroUSD,7\n"
        )
        return path

    def test_two_people_book_a_file_once(self, own_ledger: OwnLedger, file: Path) -> None:
        assert ask("ledger_import", file, "--maker", "ada", "--reason", "moved from the old books")["asked"] == 2
        first = ask("ledger_import", file, "--checker", "grace")
        again = ask("ledger_import", file, "--checker", "grace")

        assert (first["ok"], again["exists"]) == (2, 2)
        assert ledger.balance("user:acc_1:available", accounts.PREPAID) == 500
        assert ledger.balance("system:opening", accounts.PREPAID) == -507
        assert ask("ledger_verify")["ok"]

    def test_one_person_alone_books_nothing(self, own_ledger: OwnLedger, file: Path) -> None:
        ask("ledger_import", file, "--maker", "ada", "--reason", "moved")

        with pytest.raises(CommandError, match="self_approval"):
            ask("ledger_import", file, "--checker", "ada")
        assert ledger.rows("SELECT id FROM billing.journal") == []

    @pytest.mark.parametrize(
        "text",
        [
            "account,amount\na,1\n",
            "account,denomination,amount\nuser:acc_1:available,MicroUSD,1.5\n",
            "account,denomination,amount\nuser:acc_1:available,MicroUSD,0\n",
            "account,denomination,amount\nuser:acc_1:available,MicroUSD,１\n",
            "account,denomination,amount\nuser:acc_1:available,MicroUSD,1e3\n",
            "account,denomination,amount\n,MicroUSD,1\n",
            "account,denomination,amount\nuser:a:available,MicroUSD,1\nuser:a:available,MicroUSD,2\n",
        ],
    )
    def test_a_bad_line_refuses_the_whole_file(self, own_ledger: OwnLedger, tmp_path: Path, text: str) -> None:
        (tmp_path / "bad.csv").write_text(text)

        with pytest.raises(CommandError):
            ask("ledger_import", tmp_path / "bad.csv", "--maker", "ada", "--reason", "moved")
        assert ledger.rows("SELECT id FROM billing.approval") == []


class TestDeadLetterCommands:
    """`dlq_list`, `dlq_retry`, `dlq_void`."""

    @pytest.fixture
    def letter_id(self, own_ledger: OwnLedger) -> str:
        return dead_letters.enqueue(
            queue="finalize", subject_id="ent_1", reason="insufficient_funds", payload={"schema_version": 1}
        )

    def test_letters_are_listed_without_their_payload(self, letter_id: str) -> None:
        [letter] = ask("dlq_list")["dead_letters"]

        assert (letter["id"], letter["state"], letter["reason"]) == (letter_id, "pending", "insufficient_funds")
        assert "payload" not in letter
        assert ask("dlq_list", "--state", "voided")["dead_letters"] == []

    def test_a_trial_run_changes_nothing(self, letter_id: str) -> None:
        answer = ask("dlq_void", letter_id, "--by", "ada", "--reason", "test payment", "--dry-run")

        assert answer == {"dead_letters": [{"id": letter_id, "state": "pending", "queue": "finalize"}], "dry_run": True}
        assert dead_letters.letter_of(letter_id).state == "pending"

    def test_a_letter_is_retried_and_voided_by_a_person_with_a_reason(self, letter_id: str) -> None:
        ask("dlq_retry", letter_id, "--by", "ada", "--reason", "cap raised")
        ask("dlq_void", letter_id, "--by", "ada", "--reason", "test payment")

        letter = dead_letters.letter_of(letter_id)
        assert (letter.state, letter.resolved_by, letter.resolution) == ("voided", "ada", "test payment")
        with pytest.raises(CommandError, match="wrong_state"):
            ask("dlq_retry", letter_id, "--by", "ada", "--reason", "again")


class TestOtherCommands:
    """`fence_show`, `anchor`, `close_period`."""

    def test_the_fence_is_shown_by_both_gates(self, own_ledger: OwnLedger, settings: LazySettings) -> None:
        settings.LOA = {**settings.LOA, "REDIS_URL": ""}
        append([ledger.suspense_journal()])

        [stream] = ask("fence_show")["streams"]

        assert (stream["stream"], stream["is_leased"], stream["redis_issuer"]) == (0, True, "")
        assert stream["last_token"] == 2

    def test_without_a_key_anchoring_is_refused_with_the_settings_name(self, own_ledger: OwnLedger) -> None:
        with pytest.raises(CommandError, match="ANCHOR_KEY_FILE"):
            ask("anchor")

    def test_nothing_is_dated_into_a_closed_period(self, own_ledger: OwnLedger) -> None:
        until = timezone.now() - timedelta(days=1)
        assert ask("close_period", until.isoformat(), "--by", "ada", "--dry-run")["dry_run"]
        assert ask("close_period", until.isoformat(), "--by", "ada")["streams"] == 1

        [inside] = append([ledger.suspense_journal(effective_at=until - timedelta(hours=1))])
        [after] = append([ledger.suspense_journal(effective_at=until + timedelta(hours=1))])

        assert (inside.status, after.status) == ("period_closed", "ok")
        assert ask("ledger_verify")["ok"]

    @pytest.mark.parametrize(
        "until",
        ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", datetime(2999, 1, 1, tzinfo=UTC).isoformat()],
    )
    def test_a_moment_that_is_none_or_not_over_is_refused(self, own_ledger: OwnLedger, until: str) -> None:
        with pytest.raises(CommandError):
            ask("close_period", until, "--by", "ada")
