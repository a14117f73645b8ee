"""Wallets that are contracts sign in by EIP-1271, judged by our own node."""

import json
from secrets import token_hex

import pytest
from eth_utils import to_checksum_address
from pytest_django.fixtures import Settings

from accounts.services import sessions
from accounts.services.errors import SignInRefused
from outbound.http import OutboundRequest, send
from telemetry.configuration import loa
from tests.accounts.conftest import Signer

pytestmark = pytest.mark.django_db(transaction=True)

# PUSH4 magic · PUSH1 224 · SHL · PUSH1 0 · MSTORE · PUSH1 32 · PUSH1 0 · RETURN
ANSWERS = "0x63{magic}60e01b60005260206000f3"
ACCEPTS = ANSWERS.format(magic="1626ba7e")
REFUSES = ANSWERS.format(magic="ffffffff")


def contract_with(code: str) -> str:
    """The address of a contract with this code on the local chain."""
    address = to_checksum_address("0x" + token_hex(20))
    call = {"jsonrpc": "2.0", "id": 1, "method": "anvil_setCode", "params": [address, code]}
    url = loa("NETWORKS")["eip155:84532"]["rpc_urls"][0]
    headers = {"Content-Type": "application/json"}
    assert send(OutboundRequest("POST", url, headers=headers, body=json.dumps(call).encode())).status == 200
    return address


@pytest.fixture(autouse=True)
def _chain(settings: Settings) -> None:
    if not settings.TEST_SERVICES:
        pytest.skip("needs services: run `python -m loa_site.local test`")


def test_a_contract_that_accepts_the_signature_signs_in(signer: Signer) -> None:
    address = contract_with(ACCEPTS)
    text = signer.message(address=address).prepare_message()

    pair = sessions.sign_in(text, "0x" + "ab" * 70)

    assert pair.wallet == address.lower()


@pytest.mark.parametrize("code", [REFUSES, "0x00", "0xfe", "0x"], ids=["refuses", "stops", "fails", "no code"])
def test_a_contract_that_does_not_accept_it_does_not_sign_in(signer: Signer, code: str) -> None:
    text = signer.message(address=contract_with(code)).prepare_message()

    with pytest.raises(SignInRefused):
        sessions.sign_in(text, "0x" + "ab" * 70)


def test_without_a_node_a_contract_does_not_sign_in_and_a_key_does(signer: Signer, settings: Settings) -> None:
    address = contract_with(ACCEPTS)
    network = {**settings.LOA["NETWORKS"]["eip155:84532"], "rpc_urls": ["http://127.0.0.1:1"]}
    settings.LOA = {**settings.LOA, "NETWORKS": {"eip155:84532": network}}

    with pytest.raises(SignInRefused):
        sessions.sign_in(signer.message(address=address).prepare_message(), "0x" + "ab" * 70)
    assert sessions.sign_in(*signer.sign_in().values()).wallet == signer.wallet
