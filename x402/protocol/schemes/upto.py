"""`upto`: the payer signed a maximum and the one key that may settle less than it.

The witness names the facilitator; a contract that anyone can call there, Multicall3 above all, would let anyone charge
the maximum (rule R2). Version 2 and Permit2 only.
"""

from collections.abc import Collection
from typing import Final

from x402.protocol import eip712
from x402.protocol.errors import PaymentRefused
from x402.protocol.payload import Permit2Authorization
from x402.protocol.requirements import Requirements
from x402.protocol.schemes import exact_permit2
from x402.protocol.schemes.exact_eip3009 import SETTLEMENT_BUDGET_SECONDS

UPTO_PROXY: Final = bytes.fromhex("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002")
MULTICALL3: Final = bytes.fromhex("cA11bde05977b3631167028862bE2a173976CA11")


def digest(authorization: Permit2Authorization, *, chain_id: int) -> bytes:
    """What the payer signed. Raises PaymentRefused(invalid_payload) when the witness names no facilitator."""
    if authorization.facilitator is None:
        raise PaymentRefused("invalid_payload", "witness.facilitator is missing")
    return eip712.permit2_upto_digest(
        eip712.domain_separator("Permit2", version=None, chain_id=chain_id, verifying_contract=exact_permit2.PERMIT2),
        permitted=(authorization.token, authorization.amount),
        spender=authorization.spender,
        nonce_and_deadline=(authorization.nonce, authorization.deadline),
        witness=eip712.upto_witness(
            authorization.to, facilitator=authorization.facilitator, valid_after=authorization.valid_after
        ),
    )


def require_facilitator(authorization: Permit2Authorization, *, relayers: Collection[bytes]) -> None:
    """Refuse a witness that names anyone but a key of ours, Multicall3 above all (R2). Raises PaymentRefused."""
    if authorization.facilitator == MULTICALL3 or authorization.facilitator not in relayers:
        raise PaymentRefused("upto_facilitator_mismatch", "witness.facilitator is not a key of this facilitator")


def require_valid(
    requirements: Requirements,
    authorization: Permit2Authorization,
    *,
    relayers: Collection[bytes],
    now: int,
    settlement_budget_seconds: int = SETTLEMENT_BUDGET_SECONDS,
) -> None:
    """All local checks of a new upto payment; `relayers` are the keys we advertised and still operate.

    Raises PaymentRefused. Source: x402 scheme_upto_evm.
    """
    require_facilitator(authorization, relayers=relayers)
    exact_permit2.require_terms(requirements, authorization, spender=UPTO_PROXY)
    exact_permit2.require_window(authorization, now=now, settlement_budget_seconds=settlement_budget_seconds)
    exact_permit2.require_signer(digest(authorization, chain_id=requirements.chain_id), authorization)


def require_actual(authorization: Permit2Authorization, actual: int) -> None:
    """Refuse to settle more than was signed. Units: the token's atomic unit. Raises PaymentRefused."""
    if not 0 <= actual <= authorization.amount:
        raise PaymentRefused(
            "invalid_upto_evm_payload_settlement_exceeds_amount", f"the signed maximum is {authorization.amount}"
        )
