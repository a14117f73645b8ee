"""Rules, alerts and dashboards read only series that the code really emits, and point to runbooks that exist."""

import re
import subprocess
from pathlib import Path

import pytest

from billing.domain.journal import ResultStatus
from loa_site.local import binaries
from telemetry import names
from tests.infra import promql
from tests.infra.programs import program

PACKAGES = ("accounts", "billing", "inference", "loa_site", "nft", "outbound", "telemetry", "waitlist", "x402")
RUNBOOKS = binaries.ROOT / "infra" / "runbooks"
# What django-prometheus counts; a scrape of a real server shows them (tests/telemetry/test_multiprocess.py).
OF_DJANGO = {
    "django_http_responses_total_by_status_total",
    "django_http_requests_latency_including_middlewares_seconds",
    "django_http_requests_before_middlewares_total",
    "django_http_requests_total_by_method_total",
}
WRITTEN = (ResultStatus.OK, ResultStatus.EXISTS)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [program("promtool"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def source() -> dict[Path, str]:
    files = [path for package in PACKAGES for path in (binaries.ROOT / package).rglob("*.py")]
    return {path: path.read_text() for path in files if path.name != "names.py"}


def constants() -> dict[str, str]:
    return {value: name for name, value in vars(names).items() if isinstance(value, str)}


def emitters(metric: str, code: dict[Path, str]) -> list[str]:
    """The places that change a metric: by the variable that was made with its name."""
    constant = constants().get(metric)
    made = re.compile(rf"^(\w+)(?:: Final)? = (?:counter|gauge|histogram)\(\s*names\.{constant}\b", re.MULTILINE)
    variables = {variable for text in code.values() for variable in made.findall(text)}
    places = []
    for variable in variables:
        change = re.compile(rf"\b{variable}(?:\.labels\([^\n]*\))?\.(?:inc|set|observe|time)\(")
        places += [str(path) for path, text in code.items() if change.search(text)]
    return places


def test_every_series_is_emitted_by_a_real_code_path() -> None:
    code = source()
    wanted = {promql.base_of(series) for series in promql.scraped_series()} - OF_DJANGO

    assert len(wanted) > 25
    assert sorted(metric for metric in wanted if not emitters(metric, code)) == []


def test_a_series_that_nobody_emits_is_found() -> None:
    assert emitters("no_such_series_total", source()) == []
    assert promql.series_of('max(nothing_here{state="open"}) > 1') == {"nothing_here"}


def test_every_metric_that_has_a_name_is_emitted() -> None:
    code = source()
    declared = re.compile(r"(?:counter|gauge|histogram)\(\s*names\.(\w+)")
    made = {getattr(names, constant) for text in code.values() for constant in declared.findall(text)}

    assert sorted(metric for metric in made if not emitters(metric, code)) == []


def test_the_circuit_is_read_under_the_name_of_the_plan() -> None:
    assert names.SETTLEMENT_CIRCUIT_STATE == "settlement_circuit_state"
    assert any('settlement_circuit_state{state="open"}' in expression for expression in promql.expressions())


def test_every_alert_has_a_severity_and_a_runbook() -> None:
    alerts = [rule for rule in promql.rules() if "alert" in rule]

    assert len(alerts) >= 10
    for alert in alerts:
        assert alert["labels"]["severity"] in {"P1", "CRITICAL", "WARNING"}
        assert (RUNBOOKS / f"{alert['annotations']['runbook']}.md").exists(), alert["alert"]


def test_the_predecessors_names_are_recorded() -> None:
    old = {name for name in promql.recorded() if name.startswith("finn_")}

    assert {"finn_settlement_circuit_state", "finn_x402_quotes_total", "finn_conservation_violations_total"} <= old


def test_every_burn_rate_alert_looks_through_two_windows() -> None:
    burns = [rule for rule in promql.rules() if str(rule.get("alert", "")).endswith("Burn")]

    assert len(burns) == 3
    for rule in burns:
        assert len(set(re.findall(r"rate(\d+[mh])", rule["expr"]))) == 2
        assert promql.series_of(rule["expr"]) <= promql.recorded()


def test_prometheus_itself_accepts_the_rules() -> None:
    files = [str(path) for path in (promql.PROMETHEUS / "rules").glob("*.yml")]
    answer = promtool("check", "rules", *files)

    assert answer.returncode == 0, answer.stderr


def test_prometheus_itself_accepts_the_configuration() -> None:
    answer = promtool("check", "config", "--syntax-only", str(promql.PROMETHEUS / "prometheus.yml"))

    assert answer.returncode == 0, answer.stderr


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_alert_fires_when_it_should_and_not_before() -> None:
    cases = promql.PROMETHEUS / "tests" / "alerts.test.yml"
    fired = promql.outcomes_asked_for(cases)
    alerts = {rule["alert"] for rule in promql.rules() if "alert" in rule}

    assert fired == {alert: {True, False} for alert in alerts}, "each alert is seen both firing and quiet"
    answer = promtool("test", "rules", str(cases))
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("name", sorted(promql.dashboards()))
def test_a_dashboard_is_whole(name: str) -> None:
    dashboard = promql.dashboards()[name]
    panels = dashboard["panels"]

    assert dashboard["uid"]
    assert dashboard["schemaVersion"] >= 39
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
        assert panel["targets"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_every_reason_of_a_dead_letter_has_a_page() -> None:
    reasons = {status.value for status in ResultStatus if status not in WRITTEN}
    reasons |= {"transaction_failed", "nonce_already_used", "insufficient_funds"}

    assert [one for one in sorted(reasons) if not (RUNBOOKS / f"dead-letter-{one.replace('_', '-')}.md").exists()] == []


def test_a_runbook_names_only_commands_that_exist() -> None:
    folders = binaries.ROOT.glob("*/management/commands/*.py")
    commands = {path.stem for path in folders}
    named = {
        (page.name, word)
        for page in RUNBOOKS.glob("*.md")
        for word in re.findall(
            r"`(?:manage\.py )?((?:dlq|fence|recovery)_\w+|ledger_verify|doctor)\b", page.read_text()
        )
    }

    assert [one for one in sorted(named) if one[1] not in commands] == []
