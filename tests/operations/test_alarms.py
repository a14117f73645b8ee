"""Every alarm on a log line can fire: the thing is broken, its line matches, the message arrives.

The line is the one that the code really logs, the filter is parsed from infra/terraform, and the topic is moto's. Where
an alarm wants many lines, the one real line is counted as often.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, connections, transaction
from django.test import Client
from django.utils import timezone

from billing.domain.errors import BillingError, RecoveryInProgress
from billing.locks import fencing, lease
from billing.services import credit_cache, dead_letters, recovery
from billing.services.verification import verify_ledger
from loa_site import observations
from loa_site.security import report_groups
from outbound.breaker_state import settlement_breaker
from outbound.redis_scripts import redis_client
from telemetry.configuration import loa, redis_key
from telemetry.identifiers import new_id
from tests.billing.verify.conftest import busy_ledger, own_ledger
from tests.factories.ledger import new_wallet
from tests.factories.own_ledger import OwnLedger
from tests.gates.cloud import Cloud
from tests.infra import hcl
from tests.operations.conftest import Lines
from tests.operations.filters import NotAFilter, fires, parse
from tests.operations.oncall import cloud_with_somebody_on_call, require_that_oncall_is_told
from tests.x402.buyer import Buyer
from tests.x402.conftest import _forget_other_tests, buyer, chain, new_buyer
from x402.models import Payment
from x402.services import gas
from x402.services.settler import Settler

__all__ = ["_forget_other_tests", "busy_ledger", "buyer", "chain", "new_buyer", "own_ledger"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ALARMS = {alarm.name: alarm for alarm in hcl.log_alarms()}
NETWORK = "eip155:84532"


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud_with_somebody_on_call() as made:
        yield made


@pytest.fixture
def proven(aws: Cloud, lines: Lines) -> Callable[..., None]:
    """Assert that an alarm is quiet without its line, fires with it, and that its message arrives."""

    def prove(name: str, *, times: int = 1, periods: int | None = None) -> None:
        alarm = ALARMS[name]
        found = [line for line in lines.take() if parse(alarm.pattern).matches(json.loads(line))]
        assert found, f"no line matches {alarm.pattern}"
        broken, well = found * times, [['{"metric": "something.else"}']] * alarm.periods
        assert fires(alarm, [broken] * (periods or alarm.periods)), found
        if alarm.missing == "notBreaching":
            assert not fires(alarm, well)
        require_that_oncall_is_told(aws, alarm.name)

    return prove


@contextmanager
def open_circuit() -> Iterator[None]:
    settlement_breaker.force_close()  # other tests may have left it open
    for _ in range(3):
        settlement_breaker.failed(settlement_breaker.admit())
    yield
    client = redis_client()
    assert client is not None
    client.delete(redis_key(f"circuit:{loa('ENVIRONMENT')}:settlement"))


def test_every_alarm_on_a_line_is_proven_here() -> None:
    text = Path(__file__).read_text()

    assert [name for name in ALARMS if f'"{name}"' not in text] == []


def test_the_circuit_that_opens_and_the_one_that_stays_open(proven: Callable[..., None]) -> None:
    with open_circuit():
        proven("settlement_circuit_open")
        observations.observe()
        proven("settlement_circuit_stays_open")


def test_one_look_at_an_open_circuit_is_not_yet_five_minutes(lines: Lines) -> None:
    with open_circuit():
        lines.take()
        observations.observe()

    alarm = ALARMS["settlement_circuit_stays_open"]
    assert not fires(alarm, [["{}"]] * 4 + [lines.take()])


def test_a_backlog_of_dead_letters_is_its_size_and_not_its_lines(proven: Callable[..., None], lines: Lines) -> None:
    with transaction.atomic():
        for _ in range(11):
            dead_letters.enqueue(queue="finalize", subject_id=new_id("pay"), reason="wrong_state", payload={})
        lines.take()
        observations.observe()
        transaction.set_rollback(True)

    proven("billing_pending_high")


def test_a_heartbeat_that_stops_fires_and_one_that_beats_does_not(aws: Cloud, lines: Lines) -> None:
    alarm = ALARMS["heartbeat_missing"]
    observations.observe()

    assert not fires(alarm, [lines.take()])
    assert fires(alarm, [[]])
    require_that_oncall_is_told(aws, alarm.name)


def test_a_payment_that_waits_for_the_chain(proven: Callable[..., None], lines: Lines, buyer: Buyer) -> None:
    assert buyer.buy("/api/v1/x402/invoke", {"model": "loa-demo", "prompt": "hi", "max_tokens": 8}).status_code == 200
    with transaction.atomic():
        before = timezone.now() - timedelta(minutes=5)
        waiting = Payment.objects.get(payer=buyer.address.lower())
        waiting.pk, waiting.entry_id, waiting.nonce = new_id("pay"), new_id("ent"), "0x" + "cd" * 32
        waiting.state, waiting.transaction_hash, waiting.charged_micro_usdc = "verified", "", None
        waiting.save(force_insert=True)
        Payment.objects.filter(pk=waiting.pk).update(state="settling", created_at=before)
        lines.take()
        observations.observe()
        transaction.set_rollback(True)

    proven("settlement_backlog")


def test_a_settler_that_stumbles(proven: Callable[..., None], settings: LazySettings, lines: Lines) -> None:
    settings.LOA = {**settings.LOA, "FACILITATORS": ("nowhere.at.All",)}
    settler = Settler(NETWORK)

    settler.wake()
    assert settler.rest(60)

    proven("settler_failed", times=4)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("relayer_balance_low", "RELAYER_LOW_KILO_WEI"),
        ("relayer_balance_critical", "RELAYER_CRITICAL_KILO_WEI"),
    ],
)
def test_a_relayer_that_runs_out_of_gas(
    proven: Callable[..., None], settings: LazySettings, name: str, setting: str
) -> None:
    richest = 2**60
    settings.LOA = {**settings.LOA, "RELAYER_LOW_KILO_WEI": richest, setting: richest}

    assert gas.watch_balances()

    proven(name)


def test_the_fence(proven: Callable[..., None], settings: LazySettings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_KEY_PREFIX": f"{new_id('run')}:"}
    client = redis_client()
    assert client is not None
    accepted = fencing.fence_keys().last_accepted
    client.set(accepted, "10")
    assert fencing.validate_and_advance_fencing_token(10) == "STALE"
    proven("fencing_token_stale", times=6)

    client.set(accepted, "0x10")
    assert fencing.validate_and_advance_fencing_token(11) == "CORRUPT"
    proven("fencing_token_corrupt")

    client.delete(accepted)
    assert lease.take_lease(client, stream=0, holder="a")
    client.set(fencing.fence_keys().issuer, str(2**53 - 1))
    with pytest.raises(BillingError):
        fencing.issue_token(client, stream=0, holder="a", floor=0)
    proven("fencing_token_overflow")

    settings.LOA = {**settings.LOA, "REDIS_URL": "redis://127.0.0.1:1/0"}
    assert fencing.validate_and_advance_fencing_token(5) == "OK"
    proven("fencing_token_redis_sync_failed")


def test_a_letter_that_is_refused_five_times_and_one_that_is_a_day_old(
    proven: Callable[..., None], lines: Lines
) -> None:
    with transaction.atomic():
        subject = new_id("pay")
        dead_letters.enqueue(queue="finalize", subject_id=subject, reason="wrong_state", payload={})
        for _ in range(loa("FINALIZE_RETRIES")):
            _age(subject, "next_retry_at")
            for letter in dead_letters.due("finalize", owner=new_id("drain")):
                if letter.subject_id == subject:
                    dead_letters.record_attempt(letter, error="refused", is_refusal=True)
        _age(subject, "created_at")
        dead_letters.escalate_overdue()
        transaction.set_rollback(True)

    kept = lines.take()
    for name in ("finalize_poisoned", "dead_letter_escalated"):
        lines.texts = list(kept)
        proven(name)


def _age(subject: str, column: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE billing.dead_letter SET {column} = now() - interval '2 days' WHERE subject_id = %s", [subject]
        )


def test_a_row_that_was_changed(proven: Callable[..., None], busy_ledger: OwnLedger, lines: Lines) -> None:
    busy_ledger.tamper(
        "UPDATE billing.journal SET correlation_id = 'quo_other' WHERE id = (SELECT max(id) FROM billing.journal)"
    )
    lines.take()

    assert not verify_ledger().is_clean

    proven("ledger_verification_failed")


def test_a_database_that_may_have_forgotten(
    proven: Callable[..., None], own_ledger: OwnLedger, settings: LazySettings, tmp_path: Path
) -> None:
    settings.DATABASE_DIRECT_URL = own_ledger.urls["DATABASE_DIRECT_URL"]
    settings.LOA = {**settings.LOA, "TIMELINE_FILE": str(tmp_path / "timeline.json"), "REDIS_URL": ""}
    connections.close_all()
    connection.ensure_connection()
    with own_ledger.superuser() as superuser:
        superuser.execute("UPDATE billing.recovery SET timeline = timeline - 1")

    connections.close_all()
    with pytest.raises(RecoveryInProgress):
        connection.ensure_connection()

    proven("recovery_entered")
    recovery._remember(is_in_recovery=False)


def test_a_wallet_whose_credit_is_at_the_cap(proven: Callable[..., None]) -> None:
    wallet, usdc = new_wallet(), f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
    cap = loa("MAX_CREDIT_BALANCE_MICRO_USDC")
    credit_cache.add_issued_note(wallet, cap, denomination=usdc)

    with pytest.raises(BillingError):
        credit_cache.add_issued_note(wallet, 1, denomination=usdc)

    proven("credit_note_cap_exceeded")


@pytest.mark.urls("tests.x402.paid_urls")
def test_paid_work_that_fails(proven: Callable[..., None], buyer: Buyer) -> None:
    assert buyer.buy("/failing").status_code == 502

    proven("paid_work_failed", times=11)


def test_browsers_that_report_violations(
    proven: Callable[..., None], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Floods of other tests: their lines of this second, and the limit of the address they came from.
    monkeypatch.setattr(report_groups, "_gathered", report_groups._Gathered())
    nobody_before = f"198.18.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
    report = {"csp-report": {"document-uri": "https://x/", "violated-directive": "script-src", "blocked-uri": "eval"}}
    answer = client.post("/api/v1/csp-report", json.dumps(report), "application/csp-report", REMOTE_ADDR=nobody_before)
    assert answer.status_code == 204

    proven("csp_violations", times=101)


@pytest.mark.parametrize("pattern", ["ERROR", "{ $.a = 1 }", '{ $.a = "b" || $.c = "d" }', "{  }"])
def test_a_pattern_that_is_not_understood_is_refused(pattern: str) -> None:
    with pytest.raises(NotAFilter):
        parse(pattern)


def test_every_line_is_one_json_object(lines: Lines) -> None:
    observations.observe()

    for line in lines.take():
        document: dict[str, Any] = json.loads(line)
        assert "\n" not in line
        assert document["event"]
