"""`exact` by Permit2: the payer signed a witness transfer that only the x402 proxy may execute, to one recipient.

For tokens without EIP-3009. The nonce belongs to the owner on the Permit2 contract for all tokens, so the replay key
names Permit2 and not the token (rule R18).
"""

from typing import Final

from x402.protocol import eip712
from x402.protocol.errors import PaymentRefused
from x402.protocol.payload import Permit2Authorization
from x402.protocol.requirements import Requirements
from x402.protocol.schemes.exact_eip3009 import SETTLEMENT_BUDGET_SECONDS

PERMIT2: Final = bytes.fromhex("000000000022D473030F116dDEE9F6B43aC78BA3")
EXACT_PROXY: Final = bytes.fromhex("402085c248EeA27D92E8b30b2C58ed07f9E20001")


def digest(authorization: Permit2Authorization, *, chain_id: int) -> bytes:
    """What the payer signed. Source: Permit2, PermitWitnessTransferFrom; x402 exact proxy, Witness."""
    return eip712.permit2_digest(
        eip712.domain_separator("Permit2", version=None, chain_id=chain_id, verifying_contract=PERMIT2),
        permitted=(authorization.token, authorization.amount),
        spender=authorization.spender,
        nonce_and_deadline=(authorization.nonce, authorization.deadline),
        witness=eip712.exact_witness(authorization.to, valid_after=authorization.valid_after),
    )


def require_terms(requirements: Requirements, authorization: Permit2Authorization, *, spender: bytes) -> None:
    """Refuse another proxy, recipient, token or amount. Raises PaymentRefused with the specification's reason."""
    if authorization.spender != spender:
        raise PaymentRefused("invalid_permit2_spender", "the spender is not the scheme's proxy")
    if authorization.to != requirements.pay_to_bytes:
        raise PaymentRefused("invalid_permit2_recipient_mismatch", f"pay to {requirements.pay_to}")
    if authorization.token != requirements.asset_bytes:
        raise PaymentRefused("permit2_token_mismatch", f"pay with {requirements.asset}")
    if authorization.amount != requirements.amount:
        raise PaymentRefused("permit2_amount_mismatch", f"the price is {requirements.amount}")


def require_window(authorization: Permit2Authorization, *, now: int, settlement_budget_seconds: int) -> None:
    """Refuse a permit that is not yet valid or expires before it can be settled. Raises PaymentRefused."""
    if authorization.deadline < now + settlement_budget_seconds:
        raise PaymentRefused("permit2_deadline_expired", f"deadline must be {settlement_budget_seconds} s away")
    if authorization.valid_after > now:
        raise PaymentRefused("permit2_not_yet_valid", "validAfter is in the future")


def require_signer(digest_: bytes, authorization: Permit2Authorization) -> None:
    """Refuse a permit the owner's own key did not sign. Raises PaymentRefused(invalid_permit2_signature)."""
    try:
        signer = eip712.recover(digest_, authorization.signature)
    except eip712.InvalidSignature as error:
        raise PaymentRefused("invalid_permit2_signature", str(error)) from None
    if signer != authorization.from_:
        raise PaymentRefused("invalid_permit2_signature", "another key signed this permit")


def require_valid(
    requirements: Requirements,
    authorization: Permit2Authorization,
    *,
    now: int,
    settlement_budget_seconds: int = SETTLEMENT_BUDGET_SECONDS,
) -> None:
    """All local checks of a new exact Permit2 payment; `now` in Unix seconds of the chain's clock.

    The chain must still say: nonce bit unset, allowance to Permit2 and balance at least the amount.
    Raises PaymentRefused. Source: x402 scheme_exact_evm, Permit2.
    """
    require_terms(requirements, authorization, spender=EXACT_PROXY)
    require_window(authorization, now=now, settlement_budget_seconds=settlement_budget_seconds)
    require_signer(digest(authorization, chain_id=requirements.chain_id), authorization)
