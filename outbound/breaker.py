"""When to stop calling someone who does not answer, and how to find out that they are back. Plain Python.

CLOSED lets everything through and remembers failures; a success forgets them. Three failures within sixty seconds make
it OPEN: nothing goes through. After thirty seconds the next caller turns it HALF_OPEN and is the one probe; everybody
else still waits. The probe's success closes it, its failure opens it again, and a probe that never reports (its process
died) is replaced by another after its time. What calls report that began before the circuit opened changes nothing: it
is older knowledge than the opening.

A clock that jumps back must not lock anyone out: a moment in the future counts as past. Time is whole milliseconds of
one clock, given by the caller. The Lua script of `breaker_state` follows the same rules and is tested against these.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

CALLS_UNTIL_CLOSED: Final = 0  # the admission number of calls that a closed circuit lets through


class State(StrEnum):
    """Upper case in logs (the alarm filters on OPEN), lower case as metric labels."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True, slots=True)
class Policy:
    """Failures that open a circuit, within which time, and how long it stays open."""

    failures: int = 3
    window_ms: int = 60_000
    open_ms: int = 30_000
    probe_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is remembered: the moments of recent failures, when it opened, and the probe that is out."""

    state: State = State.CLOSED
    failures: tuple[int, ...] = ()
    opened_at: int = 0
    probe: int = 0
    probe_at: int = 0
    forced_until: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The circuit afterwards; whether the caller may go, with which number; how long to wait if not."""

    circuit: Circuit
    admitted: bool
    admission: int = CALLS_UNTIL_CLOSED
    wait_ms: int = 0


def admit(circuit: Circuit, now: int, policy: Policy) -> Decision:
    """Ask to make a call. An admission other than 0 is a probe and must report."""
    if circuit.state is State.CLOSED:
        return Decision(circuit, admitted=True)
    if now < circuit.forced_until:
        return Decision(circuit, admitted=False, wait_ms=circuit.forced_until - now)
    since, period = (
        (circuit.opened_at, policy.open_ms) if circuit.state is State.OPEN else (circuit.probe_at, policy.probe_ms)
    )
    elapsed = now - since
    if 0 <= elapsed < period:
        return Decision(circuit, admitted=False, wait_ms=period - elapsed)
    probe = circuit.probe + 1
    return Decision(replace(circuit, state=State.HALF_OPEN, probe=probe, probe_at=now), admitted=True, admission=probe)


def force_open(circuit: Circuit, *, now: int, period_ms: int) -> Circuit:
    """Let nothing through for so long, whatever calls report; a person decided so. Then the next caller is a probe."""
    return replace(circuit, state=State.OPEN, opened_at=now, forced_until=now + period_ms)


def force_close(circuit: Circuit) -> Circuit:
    """Let everything through again and forget the failures; a person knows that the other side is back."""
    return Circuit(probe=circuit.probe)


def succeed(circuit: Circuit, admission: int) -> Circuit:
    """A call with this admission went well."""
    if circuit.state is State.CLOSED and admission == CALLS_UNTIL_CLOSED:
        return replace(circuit, failures=()) if circuit.failures else circuit
    if circuit.state is State.HALF_OPEN and admission == circuit.probe:
        return Circuit(probe=circuit.probe)
    return circuit


def fail(circuit: Circuit, admission: int, *, now: int, policy: Policy) -> Circuit:
    """A call with this admission failed."""
    if circuit.state is State.HALF_OPEN and admission == circuit.probe:
        return replace(circuit, state=State.OPEN, failures=(*circuit.failures, now)[-policy.failures :], opened_at=now)
    if circuit.state is not State.CLOSED or admission != CALLS_UNTIL_CLOSED:
        return circuit
    recent = (*(moment for moment in circuit.failures if 0 <= now - moment <= policy.window_ms), now)
    if len(recent) < policy.failures:
        return replace(circuit, failures=recent)
    return replace(circuit, state=State.OPEN, failures=recent[-policy.failures :], opened_at=now)
