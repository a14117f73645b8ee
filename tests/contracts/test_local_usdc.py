"""That the local token behaves as USDC does: the same authorizations pass, the same refusals in the same words."""

import secrets
from typing import Any

import pytest
from eth_account import Account
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import ContractLogicError
from web3.logs import DISCARD

import contracts
from loa_site.local import wallets

PAYER, OTHER = wallets.payers()[:2]
PAY_TO = wallets.wallet("payee of the contract tests").address
AMOUNT = 2_000
DOMAIN = {"name": "USDC", "version": "2", "chainId": 84532, "verifyingContract": contracts.USDC_ADDRESS}
TRANSFER_FIELDS = [
    ("address", "from"),
    ("address", "to"),
    ("uint256", "value"),
    ("uint256", "validAfter"),
    ("uint256", "validBefore"),
    ("bytes32", "nonce"),
]


def _signed(primary: str, fields: list[tuple[str, str]], message: dict[str, Any], key: str = PAYER.private_key) -> Any:
    types = {primary: [{"type": kind, "name": name} for kind, name in fields]}
    return Account.sign_typed_data(key, DOMAIN, types, message)


def _authorization(**changes: Any) -> dict[str, Any]:
    terms = {
        "from": PAYER.address,
        "to": PAY_TO,
        "value": AMOUNT,
        "validAfter": 0,
        "validBefore": 2**40,
        "nonce": secrets.token_bytes(32),
    }
    return terms | changes


def _transfer_with(usdc: Contract, terms: dict[str, Any], signature: bytes) -> Any:
    function = usdc.get_function_by_signature(
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"
    )
    return function(*terms.values(), signature)


def _send(chain: Web3, call: Any, *, sender: wallets.Wallet | None = None) -> Any:
    key = (sender or wallets.relayer()).private_key
    account = Account.from_key(key)
    transaction = call.build_transaction(
        {"from": account.address, "nonce": chain.eth.get_transaction_count(account.address), "gas": 300_000}
    )
    sent = chain.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
    return chain.eth.wait_for_transaction_receipt(sent, timeout=5, poll_latency=0.01)


def test_the_domain_separator_is_that_of_base_sepolia_usdc(usdc: Contract) -> None:
    assert usdc.functions.DOMAIN_SEPARATOR().call().hex() == (
        "71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"
    )
    assert [usdc.functions[name]().call() for name in ("name", "version", "decimals")] == ["USDC", "2", 6]


def test_a_signed_authorization_moves_money_once_and_leaves_its_two_events(chain: Web3, usdc: Contract) -> None:
    terms = _authorization()
    signature = _signed("TransferWithAuthorization", TRANSFER_FIELDS, terms).signature

    receipt = _send(chain, _transfer_with(usdc, terms, signature))

    [used] = usdc.events.AuthorizationUsed().process_receipt(receipt, errors=DISCARD)
    [moved] = usdc.events.Transfer().process_receipt(receipt, errors=DISCARD)
    assert used["args"] == {"authorizer": PAYER.address, "nonce": terms["nonce"]}
    assert moved["args"] == {"from": PAYER.address, "to": PAY_TO, "value": AMOUNT}
    assert usdc.functions.balanceOf(PAY_TO).call() == AMOUNT
    with pytest.raises(ContractLogicError, match="FiatTokenV2: authorization is used or canceled"):
        _transfer_with(usdc, terms, signature).call()


def test_the_form_with_three_signature_parts_accepts_the_same_signature(usdc: Contract) -> None:
    terms = _authorization()
    signed = _signed("TransferWithAuthorization", TRANSFER_FIELDS, terms)
    function = usdc.get_function_by_signature(
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
    )

    r, s = signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")

    assert function(*terms.values(), signed.v, r, s).call() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"validAfter": 2**39}, "FiatTokenV2: authorization is not yet valid"),
        ({"validBefore": 1}, "FiatTokenV2: authorization is expired"),
        ({"value": 10**18}, "ERC20: transfer amount exceeds balance"),
        ({"to": "0x" + "00" * 20}, "ERC20: transfer to the zero address"),
        ({"from": OTHER.address}, "FiatTokenV2: invalid signature"),
    ],
)
def test_a_wrong_authorization_is_refused_in_usdcs_words(usdc: Contract, change: dict[str, Any], reason: str) -> None:
    terms = _authorization(**change)
    signature = _signed("TransferWithAuthorization", TRANSFER_FIELDS, terms).signature

    with pytest.raises(ContractLogicError, match=reason):
        _transfer_with(usdc, terms, signature).call()


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (b"\x01" * 64, "ECRecover: invalid signature length"),
        (b"\x01" * 32 + b"\xff" * 32 + b"\x1b", "ECRecover: invalid signature 's' value"),
        (b"\x01" * 64 + b"\x05", "ECRecover: invalid signature 'v' value"),
    ],
)
def test_a_malformed_signature_is_refused_in_usdcs_words(usdc: Contract, signature: bytes, reason: str) -> None:
    with pytest.raises(ContractLogicError, match=reason):
        _transfer_with(usdc, _authorization(), signature).call()


def test_a_canceled_authorization_cannot_be_used(chain: Web3, usdc: Contract) -> None:
    terms = _authorization()
    signature = _signed("TransferWithAuthorization", TRANSFER_FIELDS, terms).signature
    cancellation = {"authorizer": PAYER.address, "nonce": terms["nonce"]}
    canceling = _signed("CancelAuthorization", [("address", "authorizer"), ("bytes32", "nonce")], cancellation)
    cancel = usdc.get_function_by_signature("cancelAuthorization(address,bytes32,bytes)")

    receipt = _send(chain, cancel(PAYER.address, terms["nonce"], canceling.signature))

    assert len(usdc.events.AuthorizationCanceled().process_receipt(receipt, errors=DISCARD)) == 1
    assert usdc.functions.authorizationState(PAYER.address, terms["nonce"]).call() is True
    with pytest.raises(ContractLogicError, match="FiatTokenV2: authorization is used or canceled"):
        _transfer_with(usdc, terms, signature).call()


def test_only_the_payee_may_receive_with_an_authorization(usdc: Contract) -> None:
    terms = _authorization(to=OTHER.address)
    signature = _signed("ReceiveWithAuthorization", TRANSFER_FIELDS, terms).signature
    receive = usdc.get_function_by_signature(
        "receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"
    )

    assert receive(*terms.values(), signature).call({"from": OTHER.address}) == []
    with pytest.raises(ContractLogicError, match="FiatTokenV2: caller must be the payee"):
        receive(*terms.values(), signature).call({"from": PAY_TO})


def test_a_permit_sets_the_allowance_and_counts_its_nonce(chain: Web3, usdc: Contract) -> None:
    fields = [
        ("address", "owner"),
        ("address", "spender"),
        ("uint256", "value"),
        ("uint256", "nonce"),
        ("uint256", "deadline"),
    ]
    terms = {"owner": PAYER.address, "spender": OTHER.address, "value": AMOUNT, "nonce": 0, "deadline": 2**256 - 1}
    signature = _signed("Permit", fields, terms).signature
    permit = usdc.get_function_by_signature("permit(address,address,uint256,uint256,bytes)")

    _send(chain, permit(PAYER.address, OTHER.address, AMOUNT, 2**256 - 1, signature))

    assert usdc.functions.allowance(PAYER.address, OTHER.address).call() == AMOUNT
    assert usdc.functions.nonces(PAYER.address).call() == 1
    with pytest.raises(ContractLogicError, match="EIP2612: invalid signature"):
        permit(PAYER.address, OTHER.address, AMOUNT, 2**256 - 1, signature).call()


def test_a_blacklisted_payer_and_a_paused_token_move_nothing(chain: Web3, usdc: Contract) -> None:
    terms = _authorization()
    call = _transfer_with(usdc, terms, _signed("TransferWithAuthorization", TRANSFER_FIELDS, terms).signature)
    minter = wallets.master_minter()

    _send(chain, usdc.functions.blacklist(PAYER.address), sender=minter)
    with pytest.raises(ContractLogicError, match="Blacklistable: account is blacklisted"):
        call.call()

    _send(chain, usdc.functions.unBlacklist(PAYER.address), sender=minter)
    _send(chain, usdc.functions.pause(), sender=minter)
    with pytest.raises(ContractLogicError, match="Pausable: paused"):
        call.call()


def test_only_a_minter_mints(chain: Web3, usdc: Contract) -> None:
    supply = usdc.functions.totalSupply().call()

    with pytest.raises(ContractLogicError, match="FiatToken: caller is not a minter"):
        usdc.functions.mint(PAY_TO, AMOUNT).call({"from": PAYER.address})
    _send(chain, usdc.functions.mint(PAY_TO, AMOUNT), sender=wallets.master_minter())

    assert usdc.functions.balanceOf(PAY_TO).call() == AMOUNT
    assert usdc.functions.totalSupply().call() == supply + AMOUNT


def test_a_contract_wallet_pays_with_its_owners_signature(chain: Web3, usdc: Contract) -> None:
    factory_abi = contracts.load("LocalSmartWalletFactory").abi
    factory = chain.eth.contract(address=contracts.SMART_WALLET_FACTORY_ADDRESS, abi=factory_abi)
    wallet = factory.functions.addressOf(PAYER.address, b"\0" * 32).call()
    _send(chain, usdc.functions.mint(wallet, AMOUNT), sender=wallets.master_minter())
    terms = _authorization(**{"from": wallet})
    by_owner = _signed("TransferWithAuthorization", TRANSFER_FIELDS, terms).signature
    by_other = _signed("TransferWithAuthorization", TRANSFER_FIELDS, terms, key=OTHER.private_key).signature
    deployment = factory.functions.deploy(PAYER.address, b"\0" * 32).build_transaction(
        {"from": wallets.relayer().address, "nonce": 0, "gas": 2_000_000}
    )
    deployment["nonce"] = chain.eth.get_transaction_count(wallets.relayer().address)
    signed = Account.sign_transaction(deployment, wallets.relayer().private_key)
    chain.eth.wait_for_transaction_receipt(chain.eth.send_raw_transaction(signed.raw_transaction), poll_latency=0.01)

    with pytest.raises(ContractLogicError, match="FiatTokenV2: invalid signature"):
        _transfer_with(usdc, terms, by_other).call()
    _send(chain, _transfer_with(usdc, terms, by_owner))

    assert usdc.functions.balanceOf(PAY_TO).call() == AMOUNT
