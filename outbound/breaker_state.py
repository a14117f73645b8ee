"""The state of circuit breakers, shared by all processes through Redis; in this process alone while Redis is away.

Each step is one Lua call on the clock of Redis. A change is one log event `<name>.circuit.state_change`, told by the
process that caused it, and sets the gauge; for the settlement circuit both have the names of the sprint plan (12.3).
Redis that forgets everything leaves a closed circuit, which is safe: the next failures open it again.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outbound import breaker
from outbound.breaker import Circuit, Policy, State
from outbound.errors import NothingSent, OutboundError
from outbound.redis_scripts import SharedScript
from telemetry import names, tracing
from telemetry.configuration import loa, redis_key
from telemetry.logging import get_logger, log_metric
from telemetry.metrics import counter, gauge

SETTLEMENT: Final = "settlement"

log = get_logger(__name__)
_script = SharedScript((Path(__file__).parent / "lua" / "breaker.lua").read_text(encoding="utf-8"))
_settlement_gauge = gauge(
    names.SETTLEMENT_CIRCUIT_STATE,
    "1 for the state the settlement circuit is in.",
    labels=("state",),
    across_processes="mostrecent",
)
_gauge = gauge(
    names.CIRCUIT_STATES,
    "1 for the state a circuit is in.",
    labels=("circuit", "state"),
    across_processes="mostrecent",
)
_changes = counter(names.CIRCUIT_CHANGES, "Changes of a circuit's state.", labels=("circuit", "to"))


class CircuitOpen(NothingSent):
    """Raised when a circuit lets no call through; `retry_after_seconds` says when it may."""

    code = "circuit_open"

    def __init__(self, name: str, *, wait_ms: int) -> None:
        super().__init__(f"The circuit {name} is open.")
        self.retry_after_seconds = max(1, -(-wait_ms // 1000))


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call, whose outcome must be reported."""

    admission: int
    is_shared: bool


@dataclass(frozen=True, slots=True)
class _Step:
    before: State
    after: State
    admitted: bool
    admission: int
    wait_ms: int
    failure_count: int
    is_shared: bool


class Breaker:
    """One circuit by name. Made once at import by the module that guards its calls with it."""

    def __init__(self, name: str, policy: Policy | None = None) -> None:
        self.name = name
        self._policy = policy
        self._local = Circuit()
        self._lock = threading.Lock()
        _breakers[name] = self
        self._show(State.CLOSED)

    def admit(self) -> Permit:
        """Leave to make a call. Raises CircuitOpen, which is a NothingSent: going elsewhere is safe."""
        step = self._take("admit")
        tracing.annotate({names.CIRCUIT_STATE: step.after.value})
        if not step.admitted:
            raise CircuitOpen(self.name, wait_ms=step.wait_ms)
        return Permit(step.admission, is_shared=step.is_shared)

    def succeeded(self, permit: Permit) -> None:
        """The call went well."""
        self._take("succeed", permit)

    def failed(self, permit: Permit) -> None:
        """The call failed in a way that speaks against the other side."""
        self._take("fail", permit)

    @contextmanager
    def guard(self, *failures: type[Exception]) -> Iterator[Permit]:
        """Run a block under a permit: one of `failures` (else any OutboundError) counts, everything else is a success.

        Raises CircuitOpen without running the block.
        """
        permit, counted = self.admit(), failures or (OutboundError,)
        try:
            yield permit
        except counted:
            self.failed(permit)
            raise
        except BaseException:
            self.succeeded(permit)
            raise
        self.succeeded(permit)

    def state(self) -> State:
        """The state now; changes nothing."""
        return self._take("read").after

    def force_open(self, *, seconds: int) -> None:
        """Let nothing through for so long, by a person's decision; afterwards the next caller is a probe."""
        self._take("force_open", forced_ms=seconds * 1000)

    def force_close(self) -> None:
        """Let everything through again, by a person's decision."""
        self._take("force_close")

    @property
    def policy(self) -> Policy:
        """The given policy, else the one of the settings."""
        return self._policy or Policy(
            failures=loa("BREAKER_FAILURES"),
            window_ms=loa("BREAKER_WINDOW_SECONDS") * 1000,
            open_ms=loa("BREAKER_HALF_OPEN_SECONDS") * 1000,
        )

    def _take(self, step: str, permit: Permit | None = None, *, forced_ms: int = 0) -> _Step:
        """One step, where the permit was given: a permit of this process means nothing to the shared circuit."""
        is_shared = permit is None or permit.is_shared
        taken = self._take_shared(step, permit, forced_ms=forced_ms) if is_shared else None
        if taken is None or step.startswith("force"):
            locally = self._take_locally(step, permit, forced_ms=forced_ms)
            taken = taken or locally
        if taken.after is not taken.before:
            self._tell(taken)
        self._show(taken.after)
        return taken

    def _take_shared(self, step: str, permit: Permit | None, *, forced_ms: int) -> _Step | None:
        policy = self.policy
        answer = _script.run(
            [redis_key(f"circuit:{loa('ENVIRONMENT')}:{self.name}")],
            [
                step,
                permit.admission if permit else forced_ms,
                policy.failures,
                policy.window_ms,
                policy.open_ms,
                policy.probe_ms,
            ],
        )
        return None if answer is None else _step_of(answer)

    def _take_locally(self, step: str, permit: Permit | None, *, forced_ms: int) -> _Step:
        now, policy = time.monotonic_ns() // 1_000_000, self.policy
        admission = permit.admission if permit and not permit.is_shared else breaker.CALLS_UNTIL_CLOSED
        with self._lock:
            before = self._local
            decision = breaker.Decision(before, admitted=False)
            if step == "admit":
                decision = breaker.admit(before, now, policy)
            elif step == "succeed":
                decision = breaker.Decision(breaker.succeed(before, admission), admitted=False)
            elif step == "fail":
                failed = breaker.fail(before, admission, now=now, policy=policy)
                decision = breaker.Decision(failed, admitted=False)
            elif step == "force_open":
                forced = breaker.force_open(before, now=now, period_ms=forced_ms)
                decision = breaker.Decision(forced, admitted=False)
            elif step == "force_close":
                decision = breaker.Decision(breaker.force_close(before), admitted=False)
            self._local = decision.circuit
        return _Step(
            before=before.state,
            after=decision.circuit.state,
            admitted=decision.admitted,
            admission=decision.admission,
            wait_ms=decision.wait_ms,
            failure_count=len(decision.circuit.failures),
            is_shared=False,
        )

    def _tell(self, step: _Step) -> None:
        _changes.labels(circuit=self.name, to=step.after.value.lower()).inc()
        log_metric(
            log,
            names.CIRCUIT_STATE_CHANGE if self.name == SETTLEMENT else f"{self.name}.circuit.state_change",
            level="error" if step.after is State.OPEN else "warning",
            **{"from": step.before.value, "to": step.after.value},
            failure_count=step.failure_count,
            shared=step.is_shared,
        )

    def _show(self, state: State) -> None:
        for candidate in State:
            value = int(candidate is state)
            _gauge.labels(circuit=self.name, state=candidate.value.lower()).set(value)
            if self.name == SETTLEMENT:
                _settlement_gauge.labels(state=candidate.value.lower()).set(value)


_breakers: dict[str, Breaker] = {}
settlement_breaker = Breaker(SETTLEMENT)


def all_breakers() -> dict[str, Breaker]:
    """Every circuit that this process knows, by name."""
    return dict(sorted(_breakers.items()))


def refresh_gauges() -> None:
    """Bring the gauges of all circuits up to what the other processes have made of them; called before a scrape."""
    for known in list(_breakers.values()):
        known.state()


def _step_of(answer: object) -> _Step:
    if not isinstance(answer, Sequence):
        raise TypeError(f"The breaker script answered {answer!r}.")
    before, after, admitted, admission, wait_ms, failure_count = answer
    return _Step(
        before=State(before.decode()),
        after=State(after.decode()),
        admitted=bool(admitted),
        admission=int(admission),
        wait_ms=int(wait_ms),
        failure_count=int(failure_count),
        is_shared=True,
    )
