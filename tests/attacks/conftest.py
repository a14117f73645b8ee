"""Fixtures of the attacks, the reckoning after each, and the table at the end of the run."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import settings as site
from django.core.management import call_command
from pytest_django.plugin import DjangoDbBlocker

from telemetry.configuration import DEFAULT_RATE_LIMITS
from tests.attacks import shop
from tests.attacks.score import NETWORK, Attack, Figures, require_balanced_books
from tests.attacks.tools import RelayerHold, newest_time, set_chain_clock_right
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from x402.chain.network_settings import networks

REPORT = Path(__file__).resolve().parent.parent.parent / ".loa" / "reports" / "attacks.json"
ROOMY = 1_000_000
SLOW_SECONDS = 400


@dataclass(slots=True)
class Scores:
    """What each row of the table came to in this run."""

    rows: dict[str, Figures] = field(default_factory=dict)
    tests: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)


scores = pytest.StashKey[Scores]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[scores] = Scores()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start servers of their own have more time than others: a busy machine takes minutes for them."""
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in ours:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


@pytest.fixture
def chain() -> LocalChain:
    return LocalChain(site.LOA["NETWORKS"][NETWORK]["rpc_urls"][0])


@pytest.fixture
def new_buyer(chain: LocalChain) -> Callable[[int], Buyer]:
    """A wallet nobody used before, with as many MicroUSDC as asked for."""

    def make(balance_micro_usdc: int = 1_000_000) -> Buyer:
        made = Buyer("0x" + secrets.token_hex(32))
        if balance_micro_usdc:
            chain.mint(made.address, balance_micro_usdc)
        return made

    return make


@pytest.fixture(autouse=True)
def _quiet_shop(settings) -> Iterator[None]:
    """Nothing is remembered of another test's runs, and no limit but the one a test is about is met."""
    settings.LOA = settings.LOA | {"RATE_LIMITS": dict.fromkeys(DEFAULT_RATE_LIMITS, ROOMY)}
    shop.runs.clear()
    shop.costs.clear()
    shop.gate.set()
    yield
    shop.gate.set()


@pytest.fixture
def attack(
    request: pytest.FixtureRequest, transactional_db: None, chain: LocalChain, new_buyer: Callable[[int], Buyer]
) -> Iterator[Attack]:
    """One attack; afterwards nothing may have leaked, nothing be lost, nothing be done twice, and the books balance."""
    attacked = Attack(chain, new_buyer)
    if newest_time(chain) > time.time():  # an attack before this one turned the clock
        set_chain_clock_right(chain)
    yield attacked
    figures = attacked.reckon()
    marker = request.node.get_closest_marker("attacks")
    kept = request.config.stash[scores]
    kept.rows.setdefault(marker.args[0], Figures()).add(figures)
    require_balanced_books()
    assert (figures.leakage, figures.loss, figures.wasted_work) == (0.0, 0.0, 1.0), figures


@pytest.fixture
def hold(transactional_db: None) -> Iterator[RelayerHold]:
    """The relayer's key, held back from every process while a test prepares what it will find."""
    holding = RelayerHold(site.DATABASES["default"])
    yield holding
    holding.let_go()


@pytest.fixture
def quick_finality(settings) -> Iterator[None]:
    """The newest block counts as final, so that a test need not mine an hour of blocks to see a payment die."""
    facts = settings.LOA["NETWORKS"][NETWORK] | {"finality_tag": "latest"}
    before, settings.LOA = settings.LOA, settings.LOA | {"NETWORKS": {NETWORK: facts}}
    networks.cache_clear()
    yield
    settings.LOA = before  # before the cache is emptied: other threads fill it again at once
    networks.cache_clear()


@pytest.fixture(autouse=True, scope="module")
def _verified_ledger(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """After each module the whole ledger is verified: hashes, balances, notes, entries."""
    yield
    if site.TEST_SERVICES:
        with django_db_blocker.unblock():
            call_command("ledger_verify")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Count a test once for its row, as failed when any of its phases failed."""
    outcome = yield
    marker = item.get_closest_marker("attacks")
    if marker is None or not marker.args:
        return
    report, kept = outcome.get_result(), item.config.stash[scores]
    if call.when == "setup":
        kept.tests[marker.args[0]] = kept.tests.get(marker.args[0], 0) + 1
    if report.failed:
        kept.failed[marker.args[0]] = kept.failed.get(marker.args[0], 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table and write the report."""
    kept = config.stash.get(scores, Scores())
    if not kept.tests:
        return
    terminalreporter.section("attacks")
    terminalreporter.write_line(f"{'row':<46}{'tests':>6}{'failed':>7}{'leakage':>9}{'loss':>7}{'work':>7}")
    rows = []
    for name in sorted(
        kept.tests, key=lambda row: (not row[0].isdigit(), int(row.split()[0]) if row[0].isdigit() else 0, row)
    ):
        figures, failed = kept.rows.get(name, Figures()), kept.failed.get(name, 0)
        ratios = {"leakage": figures.leakage, "loss": figures.loss, "wasted_work": figures.wasted_work}
        rows.append({"row": name, "tests": kept.tests[name], "failed": failed, **ratios, "payments": figures.taken})
        terminalreporter.write_line(
            f"{name:<46}{kept.tests[name]:>6}{failed:>7}{figures.leakage:>9.3f}{figures.loss:>7.3f}{figures.wasted_work:>7.2f}"
        )
    failed = sum(kept.failed.values())
    report = {
        "suite": "attacks",
        "passed": sum(kept.tests.values()) - failed,
        "failed": failed,
        "figures": {"rows": rows},
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
