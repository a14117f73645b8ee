"""Refunds that the chain shows and that a database which forgot something has no row of (rules R4, R10).

The note that such a refund paid out is back in the books, and could be spent or refunded once more. So it is taken off
the wallet's notes again, and booked as paid from the float, under an id that the Transfer log decides: one log, one
refund. A refund whose row is left needs nothing: its nonce is the hash of its id, and the sweep finds it paid.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from billing.domain.errors import Refused
from billing.services import refunds as ledger_refunds
from x402.chain import receipts
from x402.chain.network_settings import Asset, Network
from x402.chain.receipts import Movement
from x402.models import ConsumedLog, Refund
from x402.models.refund import REFUND_ENDS
from x402.services import refund_finality, refund_float
from x402.services.facilitator_choice import rpc_of

LOST: Final = "refund"
BY_ITS_ROW: Final = "refund_under_way"


@dataclass(frozen=True, slots=True)
class PaidOut:
    """Money that left the float by an authorization of ours: which asset, where, and by which nonce."""

    asset: Asset
    movement: Movement
    nonce: str
    becomes: str


def unbooked(network: Network, asset: Asset, *, from_block: int, to_block: int) -> list[PaidOut]:
    """Every transfer out of the float in these blocks whose log nobody consumed; changes nothing. Raises RpcFailure."""
    if not refund_float.is_offered():
        return []
    rpc, paid_from = rpc_of(network.caip2), refund_float.address()
    _, sent = receipts.movements(rpc, asset=asset.address, treasury=paid_from, from_block=from_block, to_block=to_block)
    consumed = set(
        ConsumedLog.objects.filter(
            network=network.caip2, transaction_hash__in={one.log.transaction_hash for one in sent}
        ).values_list("transaction_hash", "log_index")
    )
    found = []
    for movement in sent:
        if (movement.log.transaction_hash, movement.log.log_index) not in consumed:
            nonce = receipts.nonce_of(rpc, movement)
            found.append(PaidOut(asset, movement, nonce, _fate(network, movement, nonce=nonce)))
    return found


def book(network: Network, paid: PaidOut) -> str:
    """Take a lost refund off its wallet's notes and book it as paid, once; a word for what happened. Raises RpcFailure.

    The journals are appended before the log is consumed: their keys name the log, so that a second try changes nothing.
    """
    refund_id, log = _id_of(network, paid.movement), paid.movement.log
    try:
        refund_finality.mark_final(wallet=paid.movement.recipient)
        ledger_refunds.book_lost_refund(
            ledger_refunds.LostRefund(
                refund_id=refund_id,
                wallet=paid.movement.recipient,
                denomination=paid.asset.asset_id,
                paid_from=refund_float.account_of(network.caip2, paid.asset.address, paid_from=paid.movement.sender),
                amount_micro_usdc=paid.movement.amount,
                tx_hash=log.transaction_hash,
                log_index=log.log_index,
            )
        )
    except Refused as refusal:
        return f"refused ({refusal.code})"
    ConsumedLog.objects.get_or_create(
        network=network.caip2,
        transaction_hash=log.transaction_hash,
        log_index=log.log_index,
        defaults={"beneficiary": refund_id},
    )
    return LOST


def _fate(network: Network, movement: Movement, *, nonce: str) -> str:
    """What this transfer is: a refund whose row is left, a lost one, or empty for money that no authorization moved."""
    if not nonce:
        return ""
    open_ones = Refund.objects.filter(network=network.caip2, wallet=movement.recipient).exclude(state__in=REFUND_ENDS)
    own = {"0x" + refund_float.nonce_of(refund.pk).hex(): refund.pk for refund in open_ones}
    return f"{BY_ITS_ROW}:{own[nonce]}" if nonce in own else LOST


def _id_of(network: Network, movement: Movement) -> str:
    """The id of a refund whose own is lost: the same each time this log is looked at."""
    place = f"{network.caip2}:{movement.log.transaction_hash}:{movement.log.log_index}"
    return f"ref_{hashlib.sha256(place.encode()).hexdigest()[:32]}"
