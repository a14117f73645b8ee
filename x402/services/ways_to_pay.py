"""The ways to pay we know, each a scheme and how it moves the token: what differs between them is written here.

`exact` moves what was signed, by EIP-3009 or by Permit2. `upto` moves at most that, by Permit2, and only our own key
may do it, so it is settled after its work (R12) and never in a batch (R2).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from telemetry.configuration import loa
from x402.chain.network_settings import Asset, Network
from x402.chain.signers import signer_of
from x402.models.payment import Method, SettleOrder
from x402.protocol.errors import PaymentRefused
from x402.protocol.payload import Authorization, Payload, SignedTransfer
from x402.protocol.requirements import Requirements
from x402.protocol.schemes import exact_eip3009, exact_permit2, upto
from x402.protocol.strict_json import JsonValue
from x402.services.endpoints import Endpoint
from x402.services.facilitator_choice import settles_itself

PERMIT2_ADDRESS: Final = "0x" + exact_permit2.PERMIT2.hex()


@dataclass(frozen=True, slots=True)
class Way:
    """A scheme of the specification, and the method that carries it out on the chain."""

    scheme: str
    method: Method


EXACT_EIP3009: Final = Way("exact", Method.EIP3009)
EXACT_PERMIT2: Final = Way("exact", Method.PERMIT2)
UPTO_PERMIT2: Final = Way("upto", Method.PERMIT2)


WAYS_OF_SCHEME: Final = {"exact": (EXACT_EIP3009, EXACT_PERMIT2), "upto": (UPTO_PERMIT2,)}


def ways_offered(endpoint: Endpoint, asset: Asset, *, with_credit: bool = False) -> tuple[Way, ...]:
    """The ways this endpoint takes this asset, in the order of its schemes.

    A facilitator elsewhere carries EIP-3009 authorizations alone, and a price that credit pays in part is exact (R13).
    """
    ways = [way for scheme in endpoint.schemes for way in WAYS_OF_SCHEME[scheme]]
    return tuple(
        way
        for way in ways
        if way.method in asset.transfer_methods
        and (way is EXACT_EIP3009 or settles_itself())
        and not (with_credit and way is UPTO_PERMIT2)
    )


def settle_order(endpoint: Endpoint, way: Way) -> str:
    """When a payment made this way settles: as the endpoint says, and `upto` never before its work (R12)."""
    is_too_early = way is UPTO_PERMIT2 and endpoint.settle == SettleOrder.BEFORE
    return SettleOrder.AFTER if is_too_early else endpoint.settle


def way_of(payload: Payload) -> Way:
    """How this payment was signed. Raises PaymentRefused when its scheme does not go with its authorization."""
    is_eip3009 = isinstance(payload.authorization, Authorization)
    if payload.scheme == "exact":
        return EXACT_EIP3009 if is_eip3009 else EXACT_PERMIT2
    if payload.scheme != "upto":
        raise PaymentRefused("unsupported_scheme", "The offers are exact and upto.")
    if is_eip3009:
        raise PaymentRefused("unsupported_payload_type", "An upto payment is a Permit2 permit.")
    return UPTO_PERMIT2


def requirements_of(
    way: Way, network: Network, asset: Asset, *, amount_micro_usdc: int, token: str = ""
) -> Requirements:
    """What paying `amount_micro_usdc` this way means on the wire; with the quote to echo when there is one."""
    extra: dict[str, JsonValue] = {"name": asset.name, "version": asset.version}
    if way.method is Method.PERMIT2:
        extra["assetTransferMethod"] = "permit2"
    if way.scheme == "upto":
        extra["facilitatorAddress"] = relayer_addresses()[0]
    if token:
        extra["quote"] = token
    return Requirements(
        scheme=way.scheme,
        network=network.caip2,
        asset=asset.address,
        amount=amount_micro_usdc,
        pay_to=network.pay_to,
        max_timeout_seconds=loa("QUOTE_TTL_SECONDS"),
        extra=extra,
    )


def as_offered(requirements: Requirements, transfer: SignedTransfer) -> Requirements:
    """These terms as the payer saw them, where another key of ours was the facilitator of that time."""
    named = getattr(transfer, "facilitator", None)
    then = next((one for one in relayer_addresses() if named is not None and bytes.fromhex(one[2:]) == named), None)
    if then is None:
        return requirements
    return replace(requirements, extra={**requirements.extra, "facilitatorAddress": then})


def relayer_addresses() -> tuple[str, ...]:
    """The relayer's address, then those of retired keys that still settle what was signed for them (R2).

    Empty where only a facilitator elsewhere settles.
    """
    return _addresses_of(tuple(key for key in (loa("RELAYER_PRIVATE_KEY"), *loa("RELAYER_RETIRED_KEYS")) if key))


@lru_cache(maxsize=4)
def _addresses_of(private_keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(signer_of(key).address for key in private_keys)


def at_retired_address(requirements: Requirements, network: Network, transfer: SignedTransfer) -> Requirements:
    """The terms with an address that was offered before, where the payer signed for that one.

    A new address is announced before quotes of the old one have ended; money at either is ours.
    """
    old = (address for address in network.pay_to_retired if bytes.fromhex(address[2:]) == transfer.to)
    return replace(requirements, pay_to=next(old, requirements.pay_to))


def verifying_contract_of(way: Way, asset: Asset) -> str:
    """The contract whose nonces the payment uses up, in lower case (R18)."""
    return PERMIT2_ADDRESS if way.method is Method.PERMIT2 else asset.address.lower()


def require_signature(requirements: Requirements, transfer: SignedTransfer) -> None:
    """Refuse a payment that its payer's own key did not sign; nothing here depends on time or settings (R19).

    Raises PaymentRefused with the specification's reason.
    """
    if isinstance(transfer, Authorization):
        exact_eip3009.require_signature(requirements, transfer)
    elif transfer.facilitator is None:
        exact_permit2.require_signer(exact_permit2.digest(transfer, chain_id=requirements.chain_id), transfer)
    else:
        exact_permit2.require_signer(upto.digest(transfer, chain_id=requirements.chain_id), transfer)


def require_terms(requirements: Requirements, transfer: SignedTransfer) -> None:
    """Refuse another recipient, token, amount, proxy or facilitator than was offered. Raises PaymentRefused."""
    if isinstance(transfer, Authorization):
        exact_eip3009.require_terms(requirements, transfer)
    elif transfer.facilitator is None:
        exact_permit2.require_terms(requirements, transfer, spender=exact_permit2.EXACT_PROXY)
    else:
        upto.require_facilitator(transfer, relayers=[bytes.fromhex(one[2:]) for one in relayer_addresses()])
        exact_permit2.require_terms(requirements, transfer, spender=upto.UPTO_PROXY)


def require_window(transfer: SignedTransfer, *, now: int, settlement_budget_seconds: int) -> None:
    """Refuse what is not valid yet or ends before it can be settled. `now` in Unix seconds. Raises PaymentRefused."""
    if isinstance(transfer, Authorization):
        exact_eip3009.require_window(transfer, now=now, settlement_budget_seconds=settlement_budget_seconds)
    else:
        exact_permit2.require_window(transfer, now=now, settlement_budget_seconds=settlement_budget_seconds)
