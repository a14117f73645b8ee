"""What became of a signed transfer's nonce on the chain, whichever way it was signed.

A log that paid for something else already is no use of this nonce (R3): equal Permit2 transfers can be told apart only
by who has which.
"""

from dataclasses import dataclass

from outbound.json_rpc import RpcClient
from x402.chain import permit2_receipts, receipts
from x402.chain.receipts import Log, NonceUse, Use
from x402.models import ConsumedLog
from x402.protocol.payload import Authorization, SignedTransfer


@dataclass(frozen=True, slots=True)
class Sought:
    """A transfer that is looked for. `amount` in the asset's atomic unit; `beneficiary` may have its log already."""

    network: str
    asset: str
    transfer: SignedTransfer
    amount: int
    beneficiary: str = ""


def find_use(rpc: RpcClient, sought: Sought, *, from_block: int, to_block: int) -> NonceUse | None:
    """What used this nonce in a range of blocks, the newest first; None when these blocks do not show it.

    Raises RpcFailure.
    """
    if isinstance(sought.transfer, Authorization):
        return receipts.find_use(
            rpc, asset=sought.asset, authorization=sought.transfer, from_block=from_block, to_block=to_block
        )
    candidates = permit2_receipts.find_transfers(
        rpc, permit=sought.transfer, amount=sought.amount, from_block=from_block, to_block=to_block
    )
    paid = next((log for log in candidates if is_free(sought.network, log, beneficiary=sought.beneficiary)), None)
    return None if paid is None else NonceUse(Use.PAID, paid)


def why_it_cannot_pay(rpc: RpcClient, sought: Sought, *, from_block: int, to_block: int) -> str | None:
    """Why a nonce that is used at `to_block` did not pay us, in a word; None when it did, or that is not known.

    Raises RpcFailure.
    """
    use = find_use(rpc, sought, from_block=from_block, to_block=to_block)
    if isinstance(sought.transfer, Authorization):
        if use is None or use.use is Use.PAID:
            return None
        return "authorization_canceled" if use.use is Use.CANCELED else "nonce_already_used"
    if use is not None:
        return None
    canceled = permit2_receipts.was_invalidated(rpc, permit=sought.transfer, from_block=from_block, to_block=to_block)
    return "authorization_canceled" if canceled else "nonce_already_used"


def is_free(network: str, log: Log, *, beneficiary: str = "") -> bool:
    """Whether this log paid for nothing yet, or for this beneficiary."""
    consumed = ConsumedLog.objects.filter(
        network=network, transaction_hash=log.transaction_hash, log_index=log.log_index
    ).first()
    return consumed is None or consumed.beneficiary == beneficiary
