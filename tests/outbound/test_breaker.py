"""The circuit breaker's rules, and that Redis follows the very same (faults.md 57, 58; plan 12.3)."""

import threading
from secrets import token_hex

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pytest_django.fixtures import Settings
from structlog.testing import capture_logs

from outbound import breaker, redis_scripts
from outbound.breaker import Circuit, Policy, State
from outbound.breaker_state import SETTLEMENT, Breaker, CircuitOpen, Permit
from outbound.errors import NothingSent, OutcomeUnknown

POLICY = Policy(failures=3, window_ms=60_000, open_ms=30_000, probe_ms=60_000)


def failed(times: list[int], circuit: Circuit | None = None) -> Circuit:
    circuit = circuit or Circuit()
    for now in times:
        circuit = breaker.fail(circuit, 0, now=now, policy=POLICY)
    return circuit


def test_three_failures_within_a_minute_open_the_circuit() -> None:
    assert failed([0, 30_000]).state is State.CLOSED
    assert failed([0, 30_000, 60_000]).state is State.OPEN
    assert failed([0, 30_000, 60_001]).state is State.CLOSED


def test_a_success_forgets_the_failures() -> None:
    circuit = breaker.succeed(failed([0, 1]), 0)

    assert failed([2, 3], circuit).state is State.CLOSED


def test_nothing_goes_through_for_thirty_seconds_and_then_one_probe() -> None:
    circuit = failed([0, 0, 0])

    refused = breaker.admit(circuit, 29_999, POLICY)
    assert (refused.admitted, refused.wait_ms) == (False, 1)
    probe = breaker.admit(circuit, 30_000, POLICY)
    assert (probe.admitted, probe.circuit.state) == (True, State.HALF_OPEN)
    assert not breaker.admit(probe.circuit, 30_001, POLICY).admitted


def test_the_probe_decides() -> None:
    probe = breaker.admit(failed([0, 0, 0]), 30_000, POLICY)

    assert breaker.succeed(probe.circuit, probe.admission).state is State.CLOSED
    reopened = breaker.fail(probe.circuit, probe.admission, now=31_000, policy=POLICY)
    assert (reopened.state, reopened.opened_at) == (State.OPEN, 31_000)
    assert not breaker.admit(reopened, 60_999, POLICY).admitted


def test_calls_from_before_the_opening_change_nothing() -> None:
    opened = failed([0, 0, 0])
    probe = breaker.admit(opened, 30_000, POLICY)

    assert breaker.succeed(opened, 0) == opened
    assert breaker.fail(opened, 0, now=5, policy=POLICY) == opened
    assert breaker.succeed(probe.circuit, 0) == probe.circuit
    assert breaker.fail(probe.circuit, 0, now=30_001, policy=POLICY) == probe.circuit


def test_a_probe_that_never_reports_is_replaced() -> None:
    probe = breaker.admit(failed([0, 0, 0]), 30_000, POLICY)

    second = breaker.admit(probe.circuit, 90_000, POLICY)

    assert (second.admitted, second.admission) == (True, probe.admission + 1)
    assert breaker.succeed(second.circuit, probe.admission) == second.circuit


def test_a_person_opens_and_closes_a_circuit_whatever_calls_report() -> None:
    forced = breaker.force_open(Circuit(), now=1_000, period_ms=600_000)

    assert breaker.admit(forced, 1_000 + 599_999, POLICY).wait_ms == 1
    assert breaker.succeed(forced, 0) == forced
    assert breaker.fail(forced, 0, now=2_000, policy=POLICY) == forced
    assert breaker.admit(forced, 601_000, POLICY).circuit.state is State.HALF_OPEN
    assert breaker.force_close(forced) == Circuit()


def test_a_forced_circuit_is_open_to_all_processes_until_a_person_closes_it(shared: redis.Redis) -> None:
    one, other = Breaker("forced"), Breaker("forced")
    one.force_open(seconds=3_600)

    with pytest.raises(CircuitOpen) as refusal:
        other.admit()

    assert 3_590 < refusal.value.retry_after_seconds <= 3_600
    other.force_close()
    assert one.admit().admission == 0


def test_a_clock_that_jumps_back_locks_nobody_out() -> None:
    opened = failed([10_000_000] * 3)

    assert breaker.admit(opened, 9_000_000, POLICY).admitted


steps = st.lists(st.tuples(st.sampled_from(["admit", "succeed", "fail"]), st.integers(0, 40_000), st.integers(0, 3)))


@given(steps)
def test_whatever_happens_at_most_one_probe_is_out_and_a_way_back_exists(moves: list[tuple[str, int, int]]) -> None:
    circuit, now = Circuit(), 0
    for step, pause, admission in moves:
        now += pause
        if step == "admit":
            circuit = breaker.admit(circuit, now, POLICY).circuit
        elif step == "succeed":
            circuit = breaker.succeed(circuit, admission)
        else:
            circuit = breaker.fail(circuit, admission, now=now, policy=POLICY)
        admissions = [breaker.admit(circuit, now, POLICY) for _ in range(2)]
        if circuit.state is not State.CLOSED and admissions[0].admitted:
            assert not breaker.admit(admissions[0].circuit, now, POLICY).admitted

    probe = breaker.admit(circuit, now + 100_000, POLICY)
    assert probe.admitted
    if circuit.state is not State.CLOSED:
        assert breaker.succeed(probe.circuit, probe.admission).state is State.CLOSED


@pytest.fixture
def shared(settings: Settings) -> redis.Redis:
    """The real Redis of the run."""
    if not settings.TEST_SERVICES:
        pytest.skip("needs services: run `python -m loa_site.local test`")
    client = redis_scripts.redis_client()
    assert client is not None
    return client


def fresh(policy: Policy = POLICY) -> Breaker:
    return Breaker(f"test-{token_hex(4)}", policy)


def open_it(circuit: Breaker) -> None:
    for _ in range(3):
        circuit.failed(circuit.admit())


def gauge_of(name: str) -> dict[str, float | None]:
    return {
        state: REGISTRY.get_sample_value("outbound_circuit_state", {"circuit": name, "state": state})
        for state in ("closed", "open", "half_open")
    }


def test_processes_share_the_circuit_through_redis(shared: redis.Redis) -> None:
    here = fresh()
    there = Breaker(here.name, POLICY)

    open_it(here)

    with pytest.raises(CircuitOpen) as refused:
        there.admit()
    assert isinstance(refused.value, NothingSent)
    assert refused.value.retry_after_seconds == 30
    assert there.state() is State.OPEN


def test_of_two_hundred_callers_at_half_open_exactly_one_probes(shared: redis.Redis) -> None:
    circuit = fresh(Policy(failures=3, window_ms=60_000, open_ms=50, probe_ms=60_000))
    open_it(circuit)
    threading.Event().wait(0.06)
    permits: list[Permit] = []
    barrier = threading.Barrier(50)

    def call() -> None:
        barrier.wait()
        for _ in range(4):
            try:
                permits.append(circuit.admit())
            except CircuitOpen:
                continue

    threads = [threading.Thread(target=call) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(permits) == 1
    circuit.succeeded(permits[0])
    assert circuit.state() is State.CLOSED


def test_each_change_is_one_event_and_moves_the_gauge(shared: redis.Redis) -> None:
    circuit = fresh()

    with capture_logs() as events:
        open_it(circuit)

    changes = [event for event in events if str(event["event"]).endswith("circuit.state_change")]
    assert len(changes) == 1
    assert (changes[0]["from"], changes[0]["to"], changes[0]["failure_count"]) == ("CLOSED", "OPEN", 3)
    assert gauge_of(circuit.name) == {"closed": 0.0, "open": 1.0, "half_open": 0.0}


def test_the_settlement_circuit_has_the_names_of_the_plan(shared: redis.Redis, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_KEY_PREFIX": token_hex(4)}
    circuit = Breaker(SETTLEMENT, POLICY)

    with capture_logs() as events:
        open_it(circuit)

    [change] = [event for event in events if event["event"] == "settlement.circuit.state_change"]
    assert (change["metric"], change["to"]) == ("settlement.circuit.state_change", "OPEN")
    states = {
        state: REGISTRY.get_sample_value("settlement_circuit_state", {"state": state})
        for state in ("closed", "open", "half_open")
    }
    assert states == {"closed": 0.0, "open": 1.0, "half_open": 0.0}


def test_a_flush_of_redis_closes_the_circuit_and_locks_nobody_out(shared: redis.Redis) -> None:
    circuit = fresh()
    open_it(circuit)

    shared.flushall()

    assert circuit.admit() == Permit(0, is_shared=True)


def test_a_script_that_redis_forgot_is_loaded_again(shared: redis.Redis) -> None:
    circuit = fresh()
    circuit.succeeded(circuit.admit())

    shared.script_flush()

    assert circuit.admit().is_shared


def test_every_key_of_a_circuit_expires(shared: redis.Redis) -> None:
    circuit = fresh()
    open_it(circuit)

    [key] = shared.keys(f"*{circuit.name}*")
    assert 0 < shared.pttl(key) <= 600_000


def test_without_redis_the_process_counts_for_itself(settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "REDIS_URL": ""}
    circuit = fresh()

    open_it(circuit)

    with pytest.raises(CircuitOpen):
        circuit.admit()


def test_a_permit_from_before_redis_went_away_means_nothing_to_the_local_circuit(
    shared: redis.Redis, settings: Settings
) -> None:
    circuit = fresh(Policy(failures=1, window_ms=60_000, open_ms=0, probe_ms=60_000))
    circuit.failed(circuit.admit())
    probe = circuit.admit()
    assert probe == Permit(1, is_shared=True)
    settings.LOA = {**settings.LOA, "REDIS_URL": "redis://127.0.0.1:1/0"}

    circuit.failed(probe)

    assert circuit.state() is State.OPEN


def test_a_guarded_block_counts_only_what_speaks_against_the_other_side(shared: redis.Redis) -> None:
    circuit = fresh(Policy(failures=1, window_ms=60_000, open_ms=30_000))

    with pytest.raises(KeyError), circuit.guard():
        raise KeyError
    assert circuit.state() is State.CLOSED
    with pytest.raises(OutcomeUnknown), circuit.guard():
        raise OutcomeUnknown("cut")
    assert circuit.state() is State.OPEN


moves = st.lists(st.tuples(st.sampled_from(["admit", "succeed", "fail"]), st.integers(0, 3)), min_size=1, max_size=15)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves)
def test_the_script_and_the_rules_agree(shared: redis.Redis, played: list[tuple[str, int]]) -> None:
    """Played within milliseconds, with an open time of zero so that every state is reached."""
    policy = Policy(failures=2, window_ms=60_000, open_ms=0, probe_ms=60_000)
    circuit, model = fresh(policy), Circuit()
    for step, admission in played:
        if step == "admit":
            decision = breaker.admit(model, 1, policy)
            model = decision.circuit
            try:
                permit = circuit.admit()
                assert (decision.admitted, decision.admission) == (True, permit.admission)
            except CircuitOpen:
                assert not decision.admitted
        elif step == "succeed":
            model = breaker.succeed(model, admission)
            circuit.succeeded(Permit(admission, is_shared=True))
        else:
            model = breaker.fail(model, admission, now=1, policy=policy)
            circuit.failed(Permit(admission, is_shared=True))
        assert circuit.state() is model.state
