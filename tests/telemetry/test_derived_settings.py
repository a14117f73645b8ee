"""Four settings are enough: what the others are when a project does not name them."""

import pytest
from pytest_django.fixtures import Settings

from telemetry.configuration import loa
from telemetry.networks import KNOWN, MULTICALL3

PAY_TO = "0x" + "ab" * 20
SMALL = {"PAY_TO": PAY_TO, "RPC_URL": "https://rpc.example", "FACILITATOR_URL": "https://facilitator.example"}
SEPOLIA = "eip155:84532"


def test_a_known_network_needs_a_node_and_a_recipient(settings: Settings) -> None:
    settings.LOA = SMALL

    network = loa("NETWORKS")[SEPOLIA]

    assert (network["pay_to"], network["rpc_urls"]) == (PAY_TO, ["https://rpc.example"])
    assert network["assets"] == KNOWN[SEPOLIA]["assets"]
    assert network["multicall3"] == MULTICALL3


def test_what_a_project_wrote_of_a_network_wins(settings: Settings) -> None:
    settings.LOA = {"NETWORKS": {SEPOLIA: {"rpc_urls": ["https://own.example"], "pay_to": PAY_TO, "confirmations": 7}}}

    network = loa("NETWORKS")[SEPOLIA]

    assert (network["rpc_urls"], network["confirmations"]) == (["https://own.example"], 7)
    assert network["v1_name"] == "base-sepolia"


def test_keys_follow_from_the_secret_key_and_tell_nothing_of_each_other(settings: Settings) -> None:
    settings.LOA, settings.SECRET_KEY = SMALL, "a" * 50
    first = {name: loa(name) for name in ("ANSWER_ENCRYPTION_KEY", "API_KEY_PEPPER", "WEBHOOK_KEY")}
    quote_keys = dict(loa("QUOTE_KEYS"))

    settings.SECRET_KEY = "b" * 50
    second = {name: loa(name) for name in ("ANSWER_ENCRYPTION_KEY", "API_KEY_PEPPER", "WEBHOOK_KEY")}

    values = [*first.values(), *second.values(), *quote_keys.values()]
    assert len(set(values)) == len(values) == 7
    assert all(len(value) == 64 for value in values)


def test_quotes_of_the_secret_key_before_stay_good(settings: Settings) -> None:
    settings.LOA, settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = SMALL, "a" * 50, []
    before = loa("QUOTE_KEY_ACTIVE")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "b" * 50, ["a" * 50]

    assert before in loa("QUOTE_KEYS")
    assert loa("QUOTE_KEY_ACTIVE") != before
    assert loa("QUOTE_KEY_ACTIVE") in loa("QUOTE_KEYS")


def test_keys_a_project_names_are_the_only_ones(settings: Settings) -> None:
    settings.LOA = SMALL | {"QUOTE_KEYS": {"k1": "5" * 64}, "API_KEY_PEPPER": "own"}

    assert dict(loa("QUOTE_KEYS")) == {"k1": "5" * 64}
    assert (loa("QUOTE_KEY_ACTIVE"), loa("API_KEY_PEPPER")) == ("k1", "own")


def test_receipts_are_signed_without_a_relayer_too(settings: Settings) -> None:
    settings.LOA = SMALL
    assert len(loa("RECEIPT_KEY")) == 66

    settings.LOA = SMALL | {"RELAYER_PRIVATE_KEY": "0x" + "11" * 32}
    assert loa("RECEIPT_KEY") == ""


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        ({}, ["RemoteFacilitator"]),
        ({"RELAYER_PRIVATE_KEY": "0x" + "11" * 32}, ["RemoteFacilitator", "DirectFacilitator"]),
        ({"FACILITATOR_URL": ""}, ["DirectFacilitator"]),
        ({"FACILITATORS": ["shop.Own"]}, ["Own"]),
    ],
)
def test_a_facilitators_address_puts_it_first(settings: Settings, more: dict[str, object], kinds: list[str]) -> None:
    settings.LOA = SMALL | more

    assert [path.rpartition(".")[2] for path in loa("FACILITATORS")] == kinds
