"""The account that refunds are paid from: a key that signs, and money that people top up from the cold treasury.

It signs EIP-3009 authorizations and sends nothing itself: our relayer carries them, so this account needs no gas, and
the relayer holds no money (R25). Where payments arrive (pay-to) no key of ours is needed at all.
"""

import hashlib
import time
from dataclasses import dataclass
from typing import Final

from billing.domain import accounts
from outbound.json_rpc import OutcomeUnknown, bytes_of, number_of
from telemetry.configuration import loa
from x402.chain import abi, tokens
from x402.chain.network_settings import Asset, Network, networks
from x402.chain.signers import signer_of
from x402.chain.transactions import Signer
from x402.models import Refund
from x402.protocol import eip712
from x402.protocol.payload import Authorization
from x402.services.facilitator_choice import rpc_of

NONCE_WORDS: Final = b"loa refund\n"


class NoRefundKey(Exception):
    """Raised when this deployment has no key that pays refunds."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed refund, and the newest block when it was signed. `valid_before` in Unix seconds."""

    paid_from: str
    nonce: str
    valid_before: int
    first_block: int
    signature: bytes


def address() -> str:
    """Where refunds are paid from, in lower case. Raises NoRefundKey."""
    return _signer().address.lower()


def is_offered() -> bool:
    """Whether this deployment can pay refunds."""
    return bool(loa("REFUND_PRIVATE_KEY"))


def account_of(network: str, asset: str, *, paid_from: str) -> str:
    """The float's account in the ledger."""
    return accounts.refund_float(network=network, asset_address=asset, address=paid_from)


def nonce_of(refund_id: str) -> bytes:
    """The one nonce of a refund: whoever signs or sends it again, the chain takes it once (R4)."""
    return hashlib.sha256(NONCE_WORDS + refund_id.encode()).digest()


def sign(refund: Refund) -> Signed:
    """The refund's authorization, valid for REFUND_LIFETIME_SECONDS. Raises NoRefundKey, RpcFailure.

    The clock is the chain's: it decides when an authorization has ended.
    """
    network, asset = place_of(refund)
    signer = _signer()
    head = rpc_of(network.caip2).call("eth_getBlockByNumber", ["latest", False])
    if not isinstance(head, dict):
        raise OutcomeUnknown("the node shows no latest block")
    now = max(number_of(head.get("timestamp")), int(time.time()))
    unsigned = Authorization(
        from_=bytes.fromhex(signer.address[2:]),
        to=bytes.fromhex(refund.wallet[2:]),
        value=refund.amount_micro_usdc,
        valid_after=0,
        valid_before=now + loa("REFUND_LIFETIME_SECONDS"),
        nonce=nonce_of(refund.pk),
        signature=b"",
    )
    return Signed(
        paid_from=signer.address.lower(),
        nonce="0x" + unsigned.nonce.hex(),
        valid_before=unsigned.valid_before,
        first_block=number_of(head.get("number")),
        signature=signer.sign_digest(_digest(unsigned, network, asset)),
    )


def authorization_of(refund: Refund) -> Authorization:
    """What was signed, bit for bit."""
    return Authorization(
        from_=bytes.fromhex(refund.paid_from[2:]),
        to=bytes.fromhex(refund.wallet[2:]),
        value=refund.amount_micro_usdc,
        valid_after=0,
        valid_before=refund.valid_before,
        nonce=bytes.fromhex(refund.nonce[2:]),
        signature=bytes(refund.signature),
    )


def balance_on_chain(network: Network, asset: Asset, *, holder: str = "") -> int:
    """What the float, or another holder, has now. Units: the asset's atomic unit. Raises NoRefundKey, RpcFailure."""
    data = "0x" + tokens.balance_of(abi.address_of(holder or address())).hex()
    answer = rpc_of(network.caip2).call("eth_call", [{"to": asset.address, "data": data}, "latest"])
    try:
        return abi.read_word(bytes_of(answer), 0)
    except abi.UnreadableAnswer as error:
        raise OutcomeUnknown(str(error)) from error


def place_of(refund: Refund) -> tuple[Network, Asset]:
    """The network and asset a refund is paid in. Raises LookupError when the settings no longer know them."""
    network = networks()[refund.network]
    asset = network.asset_at(refund.asset)
    if asset is None:
        raise LookupError(refund.asset)
    return network, asset


def _digest(authorization: Authorization, network: Network, asset: Asset) -> bytes:
    domain = eip712.domain_separator(
        asset.name,
        version=asset.version,
        chain_id=network.chain_id,
        verifying_contract=abi.address_of(asset.address),
    )
    return eip712.transfer_digest(
        domain,
        from_=authorization.from_,
        to=authorization.to,
        amounts_and_window=(authorization.value, authorization.valid_after, authorization.valid_before),
        nonce=authorization.nonce,
    )


def _signer() -> Signer:
    """The key from the setting, a file or KMS."""
    reference = str(loa("REFUND_PRIVATE_KEY"))
    if not reference:
        raise NoRefundKey
    return signer_of(reference)
