"""What asking a criterion comes to: PASS with evidence, or FAIL with what was found instead."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

PASS, FAIL = "PASS", "FAIL"

Probe = Callable[[], Mapping[str, object]]


class ProbeFailed(Exception):
    """Raised when a criterion does not hold; the text says what was found, for operators."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that must work, since which gate, and how that is found out."""

    gate: int
    name: str
    probe: Probe


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one criterion came to."""

    gate: int
    name: str
    status: str
    detail: str
    evidence: Mapping[str, object] = field(default_factory=dict)

    def shown(self) -> dict[str, object]:
        """With the predecessor's keys first, then ours."""
        return {
            "name": self.name,
            "status": self.status,
            "detail": self.detail,
            "gate": self.gate,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class GateReport:
    """What a gate came to, its lower gates included."""

    gate: int
    gate_name: str
    checks: tuple[CheckResult, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The criteria that do not hold."""
        return tuple([check for check in self.checks if check.status == FAIL])

    @property
    def overall(self) -> str:
        """PASS only when every criterion holds."""
        return FAIL if self.failed or not self.checks else PASS

    def shown(self) -> dict[str, object]:
        """The document that the API, the command and the script answer with."""
        return {
            "gate": self.gate,
            "gate_name": self.gate_name,
            "overall": self.overall,
            "passed": len(self.checks) - len(self.failed),
            "failed": len(self.failed),
            "checks": [check.shown() for check in self.checks],
        }
