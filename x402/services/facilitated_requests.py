"""What another site asks our facilitator to judge or to settle, and every check of the specification on it.

The terms are the caller's: who is paid and how much. Ours are the networks, the assets, the ways to pay, the ceiling
and the minimum (attack 17). Nothing here writes; the chain is asked at most twice, in batches.
"""

import time
from dataclasses import dataclass, replace
from typing import Final

from outbound.json_rpc import RpcRefused
from telemetry.configuration import loa
from x402.chain import verification_state
from x402.chain.network_settings import Asset, Network, network_of
from x402.facilitators.direct import call_of
from x402.facilitators.due_payments import DuePayment
from x402.protocol.errors import PaymentRefused
from x402.protocol.payload import (
    AcceptedTerms,
    Payload,
    Permit2Authorization,
    SignedTransfer,
    read_accepted,
    read_address,
    read_amount,
    read_document,
)
from x402.protocol.requirements import Requirements
from x402.protocol.schemes.exact_eip3009 import SETTLEMENT_BUDGET_SECONDS
from x402.protocol.schemes.upto import require_actual
from x402.protocol.strict_json import JsonObject, JsonValue
from x402.services import ways_to_pay
from x402.services.facilitator_choice import rpc_of
from x402.services.verification import BLOCKS_TO_INCLUDE, LONGEST_LIFE_SECONDS
from x402.services.ways_to_pay import EXACT_EIP3009, UPTO_PERMIT2, Way

INVALID_REQUIREMENTS: Final = "invalid_payment_requirements"


@dataclass(frozen=True, slots=True)
class FacilitatedRequest:
    """A payment and the terms it is judged by. `due_micro_usdc` is what is moved of what was signed."""

    payload: Payload
    way: Way
    network: Network
    asset: Asset
    requirements: Requirements
    due_micro_usdc: int

    @property
    def transfer(self) -> SignedTransfer:
        return self.payload.authorization

    @property
    def payer(self) -> str:
        """In lower-case hex."""
        return "0x" + self.transfer.from_.hex()

    @property
    def network_name(self) -> str:
        """As the payment's own protocol version writes it."""
        return self.network.v1_name if self.payload.version == 1 else self.network.caip2


def read(document: JsonValue, *, is_settlement: bool) -> FacilitatedRequest:
    """The payment in the body of /verify or /settle, with all that can be checked without the chain.

    For `upto`, the amount to verify is the signed maximum and the amount to settle the actual cost.
    Raises PaymentRefused with the specification's reason.
    """
    if not isinstance(document, dict):
        raise PaymentRefused("invalid_payload", "the body is not an object")
    payment, terms = _object(document, "paymentPayload"), _object(document, "paymentRequirements")
    payload = read_document(payment)
    stated = document.get("x402Version", payload.version)
    if isinstance(stated, bool) or stated != payload.version:
        raise PaymentRefused("invalid_x402_version", "x402Version is not the payment's")
    wanted = _terms_v1(terms) if payload.version == 1 else read_accepted(terms)
    network = network_of(payload.network)
    if network is None or network_of(wanted.network) is not network:
        raise PaymentRefused("invalid_network", "this facilitator does not settle on that network")
    if wanted.scheme != payload.scheme:
        raise PaymentRefused("unsupported_scheme", "the terms and the payment name different schemes")
    way = ways_to_pay.way_of(payload)
    asset = _asset(network, wanted, way=way)
    request = FacilitatedRequest(
        payload, way, network, asset, _requirements(wanted, way, network, asset=asset), wanted.amount
    )
    return _with_due(request, payload, is_settlement=is_settlement)


def require_local(request: FacilitatedRequest) -> None:
    """Terms, window, limits and signature. Raises PaymentRefused."""
    _require_echo(request)
    ways_to_pay.require_terms(request.requirements, request.transfer)
    if request.transfer.value > loa("PAYMENT_CEILING_MICRO_USDC"):
        raise PaymentRefused("invalid_exact_evm_payload_authorization_value", "the payment is above the ceiling")
    if request.transfer.value < loa("FACILITATOR_MINIMUM_MICRO_USDC"):
        raise PaymentRefused(
            "invalid_exact_evm_payload_authorization_value_too_low", "the payment is worth less than carrying it"
        )
    now = int(time.time())
    if request.transfer.valid_before > now + LONGEST_LIFE_SECONDS:
        raise PaymentRefused(
            "invalid_exact_evm_payload_authorization_valid_before", "an authorization must end within 24 hours"
        )
    budget = SETTLEMENT_BUDGET_SECONDS + int(BLOCKS_TO_INCLUDE * request.network.block_seconds)
    ways_to_pay.require_window(request.transfer, now=now, settlement_budget_seconds=budget)
    ways_to_pay.require_signature(request.requirements, request.transfer)


def require_chain(request: FacilitatedRequest) -> None:
    """Nonce, code, balance and allowance, then a trial run of the very call. Raises PaymentRefused, RpcFailure."""
    rpc = rpc_of(request.network.caip2)
    seen = verification_state.authorization_state(
        rpc, request.transfer, asset=request.asset.address, multicall3=request.network.multicall3
    )
    verification_state.require_payable(seen.authorizations[0], value=request.transfer.value)
    if request.transfer.valid_before <= seen.block.timestamp:
        raise PaymentRefused("invalid_exact_evm_payload_authorization_valid_before", "the authorization has expired")
    due = DuePayment("", request.asset.address, request.transfer, request.due_micro_usdc or request.transfer.value)
    target, calldata = call_of(due)
    try:
        rpc.call("eth_call", [{"from": sender_of(request), "to": target, "data": "0x" + calldata.hex()}, "latest"])
    except RpcRefused as refused:
        kind = "invalid_exact_evm" if request.way is EXACT_EIP3009 else "permit2"
        suffix = "transaction_simulation_failed" if request.way is EXACT_EIP3009 else "simulation_failed"
        raise PaymentRefused(f"{kind}_{suffix}", refused.message[:200]) from None


def sender_of(request: FacilitatedRequest) -> str:
    """The relayer that would carry it: the one an `upto` permit names, else the active one."""
    transfer = request.transfer
    if isinstance(transfer, Permit2Authorization) and transfer.facilitator is not None:
        return "0x" + transfer.facilitator.hex()
    return ways_to_pay.relayer_addresses()[0]


def _terms_v1(terms: JsonObject) -> AcceptedTerms:
    """Version 1 PaymentRequirements in the shape of version 2's."""
    extra = terms.get("extra")
    return AcceptedTerms(
        scheme=_text(terms, "scheme"),
        network=_text(terms, "network"),
        asset=_text(terms, "asset"),
        amount=read_amount(terms.get("maxAmountRequired"), "maxAmountRequired"),
        pay_to=_text(terms, "payTo"),
        max_timeout_seconds=0,
        extra=extra if isinstance(extra, dict) else {},
    )


def _asset(network: Network, wanted: AcceptedTerms, *, way: Way) -> Asset:
    """The asset of the terms, from our allow-list (attack 10), in the domain we know it by."""
    asset = network.asset_at(wanted.asset)
    if asset is None or way.method not in asset.transfer_methods:
        raise PaymentRefused(INVALID_REQUIREMENTS, "this facilitator does not settle that asset in this way")
    method = wanted.transfer_method if way is not UPTO_PERMIT2 else "permit2"
    if method != way.method:
        raise PaymentRefused(INVALID_REQUIREMENTS, "extra.assetTransferMethod is not how the payment was signed")
    if way is EXACT_EIP3009:
        name, version = wanted.extra.get("name"), wanted.extra.get("version")
        if name is None or version is None:
            raise PaymentRefused("missing_eip712_domain", "extra.name and extra.version name the token's domain")
        if name != asset.name:
            raise PaymentRefused("invalid_exact_evm_token_name_mismatch", f"the token's name is {asset.name}")
        if version != asset.version:
            raise PaymentRefused("invalid_exact_evm_token_version_mismatch", f"its version is {asset.version}")
    return asset


def _requirements(wanted: AcceptedTerms, way: Way, network: Network, *, asset: Asset) -> Requirements:
    pay_to = "0x" + read_address(wanted.pay_to, "payTo").hex()
    own = ways_to_pay.requirements_of(way, network, asset, amount_micro_usdc=wanted.amount)
    return replace(own, pay_to=pay_to, max_timeout_seconds=wanted.max_timeout_seconds)


def _with_due(request: FacilitatedRequest, payload: Payload, *, is_settlement: bool) -> FacilitatedRequest:
    """Settling `upto` moves the amount in the terms, of the maximum that was signed."""
    transfer = payload.authorization
    if request.way is not UPTO_PERMIT2 or not is_settlement or not isinstance(transfer, Permit2Authorization):
        return request
    require_actual(transfer, request.due_micro_usdc)
    return replace(request, requirements=replace(request.requirements, amount=transfer.amount))


def _require_echo(request: FacilitatedRequest) -> None:
    """What the payer says it accepted must be what the caller says it offered (version 2)."""
    accepted = request.payload.accepted
    if accepted is None:
        return
    offered = request.requirements
    same = (
        read_address(accepted.asset, "accepted.asset") == offered.asset_bytes
        and read_address(accepted.pay_to, "accepted.payTo") == offered.pay_to_bytes
        and accepted.amount == offered.amount
    )
    if not same:
        raise PaymentRefused(INVALID_REQUIREMENTS, "the payer accepted other terms than these")


def _object(document: JsonObject, name: str) -> JsonObject:
    value = document.get(name)
    if not isinstance(value, dict):
        raise PaymentRefused("invalid_payload", f"{name} is not an object")
    return value


def _text(document: JsonObject, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise PaymentRefused(INVALID_REQUIREMENTS, f"paymentRequirements.{name} is not a text")
    return value


def version_in(document: JsonValue) -> int:
    """The protocol version a body names, for answering in it; 2 when it names none."""
    payment = document.get("paymentPayload") if isinstance(document, dict) else None
    return 1 if isinstance(payment, dict) and payment.get("x402Version") == 1 else 2


def network_in(document: JsonValue) -> str:
    """The network a refused body names, for the answer, where that is one of ours."""
    terms = document.get("paymentRequirements") if isinstance(document, dict) else None
    name = terms.get("network") if isinstance(terms, dict) else None
    network = network_of(name) if isinstance(name, str) else None
    return network.caip2 if network is not None else ""


def payer_in(document: JsonValue) -> str:
    """Who a refused payment says it is from, when that can be read."""
    payment = document.get("paymentPayload") if isinstance(document, dict) else None
    if not isinstance(payment, dict):
        return ""
    try:
        return "0x" + read_document(payment).authorization.from_.hex()
    except PaymentRefused:
        return ""
