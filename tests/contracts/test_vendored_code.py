"""That the code we vendored is the code that is on every chain: its address follows from how it was deployed."""

import pytest
from eth_account import Account
from web3 import Web3

import contracts
from loa_site.local.wallets import checksummed, keccak256

KNOWN_KECCAK = {
    "Multicall3": "0xd5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891",
    "Permit2": "0xdcde65555316946c298e4c60c6213eb5c3aeab4354d1f3fac5427236bcbb9ebe",
    "x402ExactPermit2Proxy": "0xce6429c0bb49284660683287c0a8fe548a88379072327d026626909d202048b9",
    "x402UptoPermit2Proxy": "0x4662dc27323421a3698be49ac95f7b0dba141c238d31ef543248d1a11f8d8eec",
}
CANONICAL = {
    "Multicall3": "0xcA11bde05977b3631167028862bE2a173976CA11",
    "Permit2": "0x000000000022D473030F116dDEE9F6B43aC78BA3",
    "x402ExactPermit2Proxy": "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
    "x402UptoPermit2Proxy": "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
}


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.mark.parametrize("name", contracts.VENDORED)
def test_the_runtime_code_has_the_known_keccak_and_address(name: str) -> None:
    contract = contracts.load(name)

    assert contract.address == CANONICAL[name]
    assert "0x" + keccak256(_bytes(contract.runtime)).hex() == KNOWN_KECCAK[name]
    assert contract.record["runtime_keccak256"] == KNOWN_KECCAK[name]


@pytest.mark.parametrize("name", ["Permit2", "x402ExactPermit2Proxy", "x402UptoPermit2Proxy"])
def test_the_create2_address_follows_from_deployer_salt_and_creation_code(name: str) -> None:
    record = contracts.load(name).record

    parts = [b"\xff", _bytes(record["deployer"]), _bytes(record["salt"]), keccak256(_bytes(record["creation"]))]

    assert checksummed(keccak256(b"".join(parts))[-20:]) == CANONICAL[name]


def test_multicall3_was_deployed_by_the_signer_of_its_transaction_with_nonce_zero() -> None:
    record = contracts.load("Multicall3").record

    signer = Account.recover_transaction(record["deployment_transaction"])
    first_contract_of_signer = keccak256(b"\xd6\x94" + _bytes(signer) + b"\x80")[-20:]

    assert signer == record["deployer"]
    assert checksummed(first_contract_of_signer) == CANONICAL["Multicall3"]


@pytest.mark.parametrize("name", ["Multicall3", "Permit2", "x402ExactPermit2Proxy", "x402UptoPermit2Proxy"])
def test_executing_the_creation_code_gives_the_vendored_runtime_code(chain: Web3, name: str) -> None:
    contract = contracts.load(name)
    chain.provider.make_request("anvil_setCode", [contract.address, "0x"])

    if name == "Multicall3":
        deployer = contract.record["deployer"]
        chain.provider.make_request("anvil_setBalance", [deployer, hex(10**18)])
        sent = chain.eth.send_raw_transaction(contract.record["deployment_transaction"])
    else:
        payer = chain.eth.accounts[0]
        data = contract.record["salt"] + contract.record["creation"][2:]
        sent = chain.eth.send_transaction({"from": payer, "to": contract.record["deployer"], "data": data})

    assert chain.eth.wait_for_transaction_receipt(sent, timeout=5, poll_latency=0.01)["status"] == 1
    assert chain.eth.get_code(contract.address).to_0x_hex() == contract.runtime
