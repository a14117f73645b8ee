"""Recovery on a real server (rule R10): how it is entered, what it stops, who sees it, and how it ends."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, connections
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from billing.checks import commits_outlive_a_failover
from billing.domain.errors import RecoveryInProgress, Refused
from billing.services import recovery
from billing.services.append_journal import append
from billing.services.credit_spending import hold_credit
from billing.services.refunds import start_refund
from billing.services.reservations import reserve
from billing.tasks import drain_finalize, expire, take_anchor
from loa_site.local import deploy_check
from loa_site.local.redis import Redis
from telemetry.configuration import redis_key
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def trusted(own_ledger: OwnLedger, settings: LazySettings, tmp_path: Path) -> OwnLedger:
    """A ledger this process trusts, noted in a file."""
    settings.DATABASE_DIRECT_URL = own_ledger.urls["DATABASE_DIRECT_URL"]
    settings.LOA = {**settings.LOA, "TIMELINE_FILE": str(tmp_path / "timeline.json"), "REDIS_URL": ""}
    look_anew()
    assert not recovery.is_under_way()
    return own_ledger


@pytest.fixture
def doubted(trusted: OwnLedger) -> OwnLedger:
    """The same ledger after its server was promoted, as far as its rows can tell."""
    promote(trusted)
    with pytest.raises(RecoveryInProgress):
        look_anew()
    return trusted


def promote(own_ledger: OwnLedger) -> None:
    with own_ledger.superuser() as superuser:
        superuser.execute("UPDATE billing.recovery SET timeline = timeline - 1")


def look_anew() -> None:
    connections.close_all()
    connection.ensure_connection()


def note_of(settings: LazySettings) -> dict[str, Any]:
    return json.loads(Path(settings.LOA["TIMELINE_FILE"]).read_text())


def change_note(settings: LazySettings, **changes: Any) -> None:
    Path(settings.LOA["TIMELINE_FILE"]).write_text(json.dumps(note_of(settings) | changes))


def test_a_new_connection_to_another_timeline_stops_the_work_that_met_it_and_no_reader_after(
    trusted: OwnLedger,
) -> None:
    promote(trusted)

    with capture_logs() as logs, pytest.raises(RecoveryInProgress):
        look_anew()

    look_anew()
    assert recovery.open_recovery()["reasons"] == ["timeline_changed"]
    assert [entry["log_level"] for entry in logs if entry["event"] == "recovery.entered"] == ["critical"]


def test_a_process_that_keeps_its_connection_notices_within_two_seconds(trusted: OwnLedger) -> None:
    promote(trusted)

    time.sleep(recovery.LOOK_SECONDS)

    with pytest.raises(RecoveryInProgress):
        recovery.require_none()


def test_looking_costs_nothing_per_request(trusted: OwnLedger) -> None:
    started = time.monotonic()
    with CaptureQueriesContext(connection) as asked:
        for _ in range(10_000):
            recovery.require_none()
    looks = 1 + (time.monotonic() - started) / recovery.LOOK_SECONDS

    assert len(asked) <= 3 * looks


def test_in_recovery_no_credit_is_spent_or_refunded_and_sweeps_rest(doubted: OwnLedger) -> None:
    wallet, account = ledger.new_wallet(), new_id("acc")
    journals = ledger.one("SELECT count(*) FROM billing.journal")

    with pytest.raises(RecoveryInProgress):
        hold_credit(
            wallet=wallet,
            account_id=account,
            denomination=ledger.USDC,
            amount_micro_usdc=1,
            spend_key="k",
            entry_id=new_id("ent"),
            correlation_id="c",
            transition=None,
        )
    with pytest.raises(RecoveryInProgress):
        start_refund(refund_id="ref_1", wallet=wallet, denomination=ledger.USDC, amount_micro_usdc=1)
    with pytest.raises(RecoveryInProgress):
        reserve(entry_id=new_id("ent"), account_id=account, amount_micro_usd=1, correlation_id="c")

    assert (drain_finalize(), expire(), take_anchor()) == ({}, {}, 0)
    assert ledger.one("SELECT count(*) FROM billing.journal") == journals


def test_what_the_chain_proves_can_be_booked_in_recovery(doubted: OwnLedger) -> None:
    [result] = append([ledger.suspense_journal()])

    assert result.status == "ok"


@pytest.mark.slow
def test_every_process_sees_the_same_recovery(doubted: OwnLedger) -> None:
    told = subprocess.run(
        [sys.executable, "manage.py", "recovery_end", "--dry-run", "--json"],
        env=doubted.environment() | {"REDIS_URL": ""},
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(told.stdout.splitlines()[-1])["under_way"]["id"] == recovery.open_recovery()["id"]


def test_the_application_may_enter_recovery_and_never_end_it(doubted: OwnLedger) -> None:
    with connection.cursor() as cursor, pytest.raises(ProgrammingError, match="permission denied"):
        cursor.execute("SELECT billing.end_recovery('web', 'because', '{}')")

    assert recovery.open_recovery() is not None


def test_a_person_ends_it_once_and_says_why(doubted: OwnLedger, settings: LazySettings) -> None:
    recovery_id = recovery.open_recovery()["id"]
    for nobody in ({"ended_by": "", "reason": "x"}, {"ended_by": "ada", "reason": ""}):
        with pytest.raises(Refused):
            recovery.end_recovery(**nobody, report="{}")

    ended = recovery.end_recovery(ended_by="ada", reason="planned", report='{"missing": 0}')

    assert ended == recovery_id == note_of(settings)["acceptance_id"]
    assert not recovery.is_under_way()
    look_anew()
    row = ledger.one("SELECT ended_by, end_reason, report FROM billing.recovery WHERE id = %s", recovery_id)
    assert row == ("ada", "planned", '{"missing": 0}')
    with pytest.raises(Refused):
        recovery.end_recovery(ended_by="ada", reason="again", report="{}")


def test_the_command_asks_who_and_why_and_says_when_there_is_nothing_to_end(
    trusted: OwnLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("recovery_end")
    assert capsys.readouterr().out == "No recovery is under way.\n"
    promote(trusted)
    with pytest.raises(RecoveryInProgress):
        look_anew()

    with pytest.raises(CommandError, match="--by NAME --reason TEXT"):
        call_command("recovery_end")

    assert recovery.open_recovery() is not None


class TestNotes:
    """What is written down outside, and what it finds that the database cannot know."""

    def test_a_trusted_database_is_written_down(self, trusted: OwnLedger, settings: LazySettings) -> None:
        accepted = ledger.one("SELECT id, server, timeline FROM billing.recovery")
        note = note_of(settings)

        assert (note["acceptance_id"], note["server"], note["timeline"]) == accepted
        assert note["position"] > 0

    @pytest.mark.parametrize(
        ("changes", "doubt"),
        [({"position": 10**15}, "position_went_back"), ({"acceptance_id": "rec_other"}, "acceptance_lost")],
        ids=["a snapshot was put back", "an old server woke up"],
    )
    def test_a_note_that_is_ahead_of_the_database_is_a_doubt(
        self, trusted: OwnLedger, settings: LazySettings, changes: dict[str, Any], doubt: str
    ) -> None:
        change_note(settings, **changes)

        with pytest.raises(RecoveryInProgress):
            look_anew()

        assert recovery.open_recovery()["reasons"] == [doubt]
        recovery.end_recovery(ended_by="ada", reason="put back on purpose", report="{}")
        look_anew()
        assert not recovery.is_under_way()

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"acceptance_id": 1}', "\x00"])
    def test_a_note_that_cannot_be_read_is_reported_and_replaced(
        self, trusted: OwnLedger, settings: LazySettings, text: str
    ) -> None:
        Path(settings.LOA["TIMELINE_FILE"]).write_text(text)

        with capture_logs() as logs:
            look_anew()

        assert [entry["event"] for entry in logs] == (["recovery.note_failed"] if text else [])
        assert note_of(settings)["position"] > 0

    def test_a_folder_that_is_gone_stops_no_payment(self, trusted: OwnLedger, settings: LazySettings) -> None:
        settings.LOA = {**settings.LOA, "TIMELINE_FILE": "/nowhere/at/all/timeline.json"}

        with capture_logs() as logs:
            look_anew()

        assert [entry["event"] for entry in logs] == ["recovery.note_failed"]
        assert not recovery.is_under_way()

    def test_a_new_machine_reads_the_note_in_redis(
        self, trusted: OwnLedger, own_redis: Redis, settings: LazySettings, tmp_path: Path
    ) -> None:
        Path(settings.LOA["TIMELINE_FILE"]).unlink()
        look_anew()
        kept = redis.Redis.from_url(own_redis.url)
        note = json.loads(kept.get(redis_key("recovery:note")))
        kept.set(redis_key("recovery:note"), json.dumps(note | {"position": 10**15}))
        settings.LOA = {**settings.LOA, "TIMELINE_FILE": str(tmp_path / "another-machine.json")}

        with pytest.raises(RecoveryInProgress):
            look_anew()

        assert recovery.open_recovery()["reasons"] == ["position_went_back"]


def test_an_anchored_head_that_is_gone_starts_recovery_and_a_new_file_of_anchors(
    trusted: OwnLedger, settings: LazySettings, tmp_path: Path
) -> None:
    key, path = tmp_path / "key.pem", tmp_path / "anchors.jsonl"
    key.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    settings.LOA = {**settings.LOA, "ANCHOR_KEY_FILE": str(key), "ANCHOR_PATH": str(path)}
    append([ledger.suspense_journal()])
    assert take_anchor() == 1
    line = json.loads(path.read_text())
    [stream, sequence, _] = next(head for head in line["content"]["heads"] if head[1] > 0)
    line["content"]["heads"].append([stream, sequence + 7, "ab" * 32])
    path.write_text(json.dumps(line | {"digest": "cd" * 32}) + "\n")

    assert take_anchor() == 0

    assert recovery.open_recovery()["reasons"] == ["anchored_head_missing"]
    ended = recovery.end_recovery(ended_by="ada", reason="known loss", report="{}")
    assert Path(f"{path}.before-{ended}").exists()
    append([ledger.suspense_journal() for _ in range(3)])
    recovery.look_at_anchors()
    assert not recovery.is_under_way()


class TestStart:
    """A deployment starts only when a commit outlives a failover, or somebody said why it need not."""

    @pytest.mark.parametrize(
        ("declared", "found"), [("", ["billing.E003"]), ("none", []), ("managed", []), ("yes", ["billing.E002"])]
    )
    def test_a_deployment_declares_what_it_does_about_failover(
        self, settings: LazySettings, declared: str, found: list[str]
    ) -> None:
        settings.LOA = {**settings.LOA, "ENVIRONMENT": "production", "POSTGRES_FAILOVER": declared}

        assert [message.id for message in commits_outlive_a_failover()] == found

    @pytest.mark.slow
    @pytest.mark.parametrize("declared", ["", "none"])
    def test_the_web_process_refuses_to_start_without_it(self, own_database: dict[str, str], declared: str) -> None:
        secret = {
            "SECRET_KEY": "only-for-this-test-" + "7" * 50,
            "LOA_PAY_TO": "0x" + "ab" * 20,
            "LOA_RELAYER_PRIVATE_KEY": "0x" + "7b" * 32,
            "LOA_QUOTE_KEYS": "k1:" + "5c" * 32,
            "LOA_ANSWER_ENCRYPTION_KEY": "6d" * 32,
            "LOA_API_KEY_PEPPER": "7e" * 32,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOA_")}
        environment = inherited | deploy_check.VARIABLES | secret | own_database
        environment |= {"LOA_POSTGRES_FAILOVER": declared} if declared else {}

        started = subprocess.run(
            [sys.executable, "-c", "import loa_site.wsgi"], env=environment, capture_output=True, text=True, check=False
        )

        assert (started.returncode == 0) == bool(declared), started.stderr[-2000:]
        assert ("billing.E003" in started.stderr) == (not declared)
