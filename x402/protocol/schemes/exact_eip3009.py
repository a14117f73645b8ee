"""`exact` by EIP-3009: the payer signed one transfer of exactly the price, and anyone may carry it to the token.

The local checks run in the specification's order and stop at the first that fails; what only the chain knows comes back
as `ChainQuestions`. Local recovery speaks for payers without code: for a payer with code, a 7702 account included, only
the chain can say whether a signature is good (rule R26).
"""

from dataclasses import dataclass
from typing import Final

from x402.protocol import eip712
from x402.protocol.errors import PaymentRefused
from x402.protocol.payload import Authorization
from x402.protocol.requirements import Requirements

SETTLEMENT_BUDGET_SECONDS: Final = 6  # the specification's margin; callers add two blocks and their queue


@dataclass(frozen=True, slots=True)
class ChainQuestions:
    """What must still be true on the chain: nonce unused, balance at least `value`, payer without code.

    With `through_permit2` the nonce is Permit2's, and the payer's allowance to it must cover `value` as well.
    """

    asset: bytes
    payer: bytes
    nonce: bytes
    value: int
    through_permit2: bool = False


def digest(requirements: Requirements, authorization: Authorization) -> bytes:
    """What the payer signed. Raises PaymentRefused(missing_eip712_domain) when the terms name no token domain."""
    name, version = requirements.extra.get("name"), requirements.extra.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        raise PaymentRefused("missing_eip712_domain", "the terms name no EIP-712 domain")
    domain = eip712.domain_separator(
        name, version=version, chain_id=requirements.chain_id, verifying_contract=requirements.asset_bytes
    )
    return eip712.transfer_digest(
        domain,
        from_=authorization.from_,
        to=authorization.to,
        amounts_and_window=(authorization.value, authorization.valid_after, authorization.valid_before),
        nonce=authorization.nonce,
    )


def require_signature(requirements: Requirements, authorization: Authorization) -> None:
    """Refuse a payment the payer's own key did not sign; nothing here depends on time or settings (rule R19).

    Raises PaymentRefused(invalid_exact_evm_payload_signature).
    """
    try:
        signer = eip712.recover(digest(requirements, authorization), authorization.signature)
    except eip712.InvalidSignature as error:
        raise PaymentRefused("invalid_exact_evm_payload_signature", str(error)) from None
    if signer != authorization.from_:
        raise PaymentRefused("invalid_exact_evm_payload_signature", "another key signed this authorization")


def require_terms(requirements: Requirements, authorization: Authorization) -> None:
    """Refuse a payment to someone else or of another amount; exact means equal, overpaying is refused as well.

    Raises PaymentRefused.
    """
    if authorization.to != requirements.pay_to_bytes:
        raise PaymentRefused("invalid_exact_evm_payload_recipient_mismatch", f"pay to {requirements.pay_to}")
    if authorization.value != requirements.amount:
        raise PaymentRefused(
            "invalid_exact_evm_payload_authorization_value_mismatch", f"the price is {requirements.amount}"
        )


def require_window(
    authorization: Authorization, *, now: int, settlement_budget_seconds: int = SETTLEMENT_BUDGET_SECONDS
) -> None:
    """Refuse a payment that is not yet valid, or would expire before it can be settled.

    `now` is Unix seconds of the clock the chain keeps: the token needs `timestamp > validAfter` and
    `timestamp < validBefore`, and inclusion takes up to the budget. Raises PaymentRefused. Source: EIP-3009.
    """
    if authorization.valid_before < now + settlement_budget_seconds:
        raise PaymentRefused(
            "invalid_exact_evm_payload_authorization_valid_before",
            f"validBefore must be at least {settlement_budget_seconds} s away",
        )
    if authorization.valid_after >= now:
        raise PaymentRefused("invalid_exact_evm_payload_authorization_valid_after", "validAfter is not in the past")


def require_valid(
    requirements: Requirements,
    authorization: Authorization,
    *,
    now: int,
    settlement_budget_seconds: int = SETTLEMENT_BUDGET_SECONDS,
) -> ChainQuestions:
    """All local checks of a new payment, in the specification's order: recipient, amount, window, signature.

    Raises PaymentRefused with the specification's reason. Source: x402 scheme_exact_evm, verification.
    """
    require_terms(requirements, authorization)
    require_window(authorization, now=now, settlement_budget_seconds=settlement_budget_seconds)
    require_signature(requirements, authorization)
    return ChainQuestions(
        asset=requirements.asset_bytes,
        payer=authorization.from_,
        nonce=authorization.nonce,
        value=authorization.value,
    )
