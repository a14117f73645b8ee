"""The criteria of every gate in order, and what a gate comes to.

Labels are those of the predecessor's script, so that dashboards and habits go on working. Source: sprint plan 12.5.
"""

from collections.abc import Mapping
from typing import Final

from django.db import connection

from loa_site.gates import probes
from loa_site.gates.outcome import FAIL, PASS, CheckResult, Criterion, GateReport, ProbeFailed
from telemetry import names
from telemetry.logging import get_logger
from telemetry.metrics import gauge

GATE_NAMES: Final[Mapping[int, str]] = {0: "Smoke", 1: "Ignition", 2: "Warmup", 3: "Idle", 4: "Launch"}

CRITERIA: Final = (
    Criterion(0, "Service is ready", probes.service_is_ready),
    Criterion(1, "Billing state machine responds", probes.billing_state_machine),
    Criterion(1, "Quote generation works", probes.quote_generation),
    Criterion(1, "Conservation guard healthy", probes.conservation_guard),
    Criterion(2, "NFT personality CRUD works", probes.elsewhere("nft.services.gate_probes.personality_crud")),
    Criterion(2, "Onboarding flow completes", probes.elsewhere("nft.services.gate_probes.onboarding_flow")),
    Criterion(2, "Credit purchase works", probes.credit_purchase),
    Criterion(3, "BYOK validation works", probes.elsewhere("inference.services.gate_probes.byok_validation")),
    Criterion(3, "Feature flags configurable", probes.elsewhere("accounts.services.gate_probes.feature_flags")),
    Criterion(4, "x402 payment flow operational", probes.payment_flow),
    Criterion(4, "Multi-model routing works", probes.model_routing),
    Criterion(4, "No alarm condition holds", probes.no_alarm_condition),
)

log = get_logger(__name__)
_passed = gauge(names.GATE_PASSED, "1 for a gate that held when it was last asked.", labels=("gate",))


def evaluate(number: int) -> GateReport:
    """Ask every criterion of a gate and of those below it. Raises KeyError for a gate that does not exist.

    Works on a connection that is given back; writes nothing that stays.
    """
    gate_name = GATE_NAMES[number]
    checks = tuple([_result_of(criterion) for criterion in CRITERIA if criterion.gate <= number])
    report = GateReport(number, gate_name, checks)
    _passed.labels(gate=str(number)).set(int(report.overall == PASS))
    log.info(
        names.GATE_EVALUATED,
        gate=number,
        overall=report.overall,
        failed_criteria=[check.name for check in report.failed],
    )
    return report


def _result_of(criterion: Criterion) -> CheckResult:
    """The criterion's verdict; a probe that breaks is a criterion that fails."""
    try:
        evidence = criterion.probe()
    except ProbeFailed as failure:
        return CheckResult(criterion.gate, criterion.name, FAIL, str(failure))
    except Exception as error:
        log.exception(names.GATE_PROBE_BROKE, criterion=criterion.name)
        connection.close()
        return CheckResult(criterion.gate, criterion.name, FAIL, f"The probe broke: {type(error).__name__}.")
    return CheckResult(criterion.gate, criterion.name, PASS, "", evidence)
