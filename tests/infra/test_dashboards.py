"""Dashboards are what Grafana's schema knows, and every panel shows something of a site that is in use."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loa_site.local import binaries, ports
from telemetry.metrics_folder import FOLDER_VARIABLE
from tests.infra import panels, promql
from tests.infra.panels import Prometheus, schema_losses
from tests.infra.programs import program
from tests.journeys.live_site import LiveSite
from tests.journeys.paying import INVOKE, funded, header_for
from tests.operations.beating import running

REPORTS = binaries.ROOT / ".loa" / "reports" / "dashboards"
QUESTION = {"model": "loa-demo", "prompt": "What is on the dashboard?", "max_tokens": 8}
DASHBOARDS = promql.dashboards()
# Nothing is shown of what did not happen: a counter begins with its first event, and these did not occur.
ONLY_AFTER_TROUBLE = {
    "wal_fencing_refusals_total",
    "recoveries_entered_total",
    "billing_dlq_enqueued_total",
    "billing_dlq_processed_total",
    "x402_nonce_replays_blocked_total",
    "x402_overrun_micro_usdc_total",
    "rate_limit_hits_total",
    "csp_violations_total",
    "csp_reports_refused_total",
    "telemetry_spans_dropped_total",
    "outbound_circuit_changes_total",
    "conservation_violations_total",
    "sign_ins_total",
}


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_grafanas_own_schema_knows_everything_that_is_written(name: str) -> None:
    assert schema_losses(DASHBOARDS[name]) == []


def test_what_the_schema_does_not_know_is_found() -> None:
    wrong = json.loads(json.dumps(DASHBOARDS["ledger.json"]))
    wrong["refesh"] = "30s"
    wrong["panels"][1]["gridPos"]["wide"] = 12

    assert schema_losses(wrong) == ["/refesh", "/panels/1/gridPos/wide"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a site in use and its worker."""
    server, folder = program("prometheus"), tmp_path_factory.mktemp("prometheus")
    worker_port = ports.free_port()
    variables = {"WORKER_METRICS_PORT": str(worker_port), FOLDER_VARIABLE: str(folder / "worker-metrics")}
    with (
        LiveSite({FOLDER_VARIABLE: str(folder / "metrics")}) as site,
        running("worker", folder, variables=variables),
        running("beat", folder),
        panels.prometheus(server, folder, {"loa-web": site.port, "loa-workers": worker_port}) as found,
    ):
        deadline = time.monotonic() + 300
        use(site)
        while not is_complete(found):
            assert time.monotonic() < deadline, (empty_panels(found), (folder / "prometheus.log").read_text()[-500:])
            use(site)
            time.sleep(1)
        yield found


def use(site: LiveSite) -> None:
    """One paid call, one that is not paid, one page, one gate."""
    assert site.ask("POST", INVOKE, QUESTION, {"PAYMENT-SIGNATURE": header_for(site, funded(), QUESTION)}).status == 200
    assert site.ask("GET", "/api/v1/gates/0").status == 200
    assert site.ask("GET", "/no-such-page").status == 404


def empty_panels(source: Prometheus) -> dict[str, str]:
    """Panels that show nothing although what they show did happen, with their expression."""
    return {
        f"{name}: {panel['title']}": target["expr"]
        for name, dashboard in DASHBOARDS.items()
        for panel in dashboard["panels"]
        for target in panel["targets"]
        if not promql.series_of(target["expr"]) & ONLY_AFTER_TROUBLE and not source.series(target["expr"])
    }


def is_complete(source: Prometheus) -> bool:
    """Whether every scrape was answered and every panel has something to show, as far as waiting can bring it."""
    try:
        return all(source.is_scraped(job) for job in ("loa-web", "loa-workers")) and not empty_panels(source)
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
def test_every_panel_is_an_expression_that_prometheus_understands_and_shows_something(source: Prometheus) -> None:
    def values(expression: str) -> list[Any]:
        return [series["values"][-1][1] for series in source.series(expression)]

    assert empty_panels(source) == {}
    for expression in promql.expressions():
        values(expression)
    for name, dashboard in DASHBOARDS.items():
        panels.draw(dashboard, source, REPORTS / Path(name).with_suffix(".png"))
        assert (REPORTS / Path(name).with_suffix(".png")).stat().st_size > 10_000
    assert values('min(settlement_circuit_state{state="closed"})') == ["1"]
    assert values('max(settlement_circuit_state{state!="closed"})') == ["0"]
    assert values("max(gate_passed)") == ["1"]
