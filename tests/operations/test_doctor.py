"""`manage.py doctor`: what an operator must fix before money comes, and nothing where there is nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import call_command

from loa_site import doctor
from loa_site.health import parts, probe
from tests.journeys.live_site import LiveSite

pytestmark = pytest.mark.django_db(transaction=True)

NETWORK = "eip155:84532"


@pytest.fixture(autouse=True)
def _ask_anew() -> None:
    parts.forget()


def failures() -> set[str]:
    return {finding.name for finding in doctor.examine() if finding.status == doctor.FAILURE}


def with_network(settings: LazySettings, **changes: object) -> dict[str, object]:
    network = {**settings.LOA["NETWORKS"][NETWORK], **changes}
    return {**settings.LOA, "NETWORKS": {NETWORK: network}}


def test_every_subject_is_looked_at() -> None:
    names = {finding.name for finding in doctor.examine()}

    assert {
        "keys and settings",
        "pay-to",
        "gas",
        "limits",
        "two-factor",
        "backups",
        "part database",
        "database roles",
    } <= names


@pytest.mark.parametrize("address", ["", "0x" + "0" * 40])
def test_money_needs_an_address_to_go_to(settings: LazySettings, address: str) -> None:
    settings.LOA = with_network(settings, pay_to=address)

    assert "pay-to" in failures()


def test_the_relayers_hot_key_is_no_place_for_the_money(settings: LazySettings) -> None:
    from x402.services.ways_to_pay import relayer_addresses

    settings.LOA = with_network(settings, pay_to=next(iter(relayer_addresses())))

    assert "pay-to" in failures()


def test_a_relayer_without_gas_is_a_failure(settings: LazySettings) -> None:
    assert "gas" not in failures()

    settings.LOA = {**settings.LOA, "RELAYER_LOW_KILO_WEI": 2**60, "RELAYER_CRITICAL_KILO_WEI": 2**60}

    assert "gas" in failures()


def test_limits_that_contradict_each_other_are_found(settings: LazySettings) -> None:
    settings.LOA = {**settings.LOA, "DEFERRED_LIMIT_PER_WALLET_MICRO_USDC": 10**12}

    assert "limits" in failures()


def test_the_command_answers_in_json_and_by_its_exit_code(
    settings: LazySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.LOA = with_network(settings, pay_to="")

    with pytest.raises(SystemExit) as left:
        call_command("doctor", "--json")

    document = json.loads(capsys.readouterr().out)
    assert (left.value.code, document["is_well"]) == (1, False)
    assert all(set(finding) == {"name", "status", "detail"} for finding in document["findings"])


def test_the_probe_of_a_container_needs_nothing_but_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOA_PORT", "1")
    assert probe.main("/livez") == 1

    with LiveSite() as site:
        monkeypatch.setenv("LOA_PORT", str(site.port))
        command = [sys.executable, "-I", str(Path(probe.__file__))]
        assert subprocess.run([*command], check=False, timeout=20).returncode == 0
        assert subprocess.run([*command, "/no-such-page"], check=False, timeout=20).returncode == 1
