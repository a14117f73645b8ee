"""What is owed goes back by itself: work that failed and money that came late need no asking (R15).

Below the dust limit a note stays spendable, since the gas would eat it.
"""

from typing import Final

from django.db import connection

from accounts.services.account_of_wallet import account_id_of_wallet
from accounts.services.errors import AccountsError
from billing.services import recovery
from billing.services.steps import while_full
from outbound.json_rpc import RpcFailure
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger
from x402.chain.network_settings import default_network
from x402.services import refund_finality, refund_gate, refunds

CAUSE_OWED: Final = "owed"
FINALITY_SECONDS: Final = 10.0  # of one sweep; a note waits for the next one without harm

log = get_logger(__name__)

_OWED: Final = """
SELECT n.id, n.wallet, n.remaining FROM billing.credit_note n
WHERE n.kind = 'owed' AND n.remaining >= %(dust)s AND n.refundable_at <= clock_timestamp()
  AND n.denomination = %(asset)s AND (%(wallet)s = '' OR n.wallet = %(wallet)s)
  AND NOT EXISTS (SELECT FROM x402_refund r WHERE r.note_id = n.id AND r.state IN ('requested', 'started', 'sent'))
ORDER BY n.number LIMIT %(limit)s
"""


def pay_out_owed(*, wallet: str = "", limit: int = refunds.SWEEP_LIMIT) -> int:
    """Refund notes of kind `owed` that are final and above the dust limit, unasked (R15); how many were begun."""
    if recovery.is_under_way() or not refund_gate.is_open():
        return 0
    try:
        while_full(
            lambda: refund_finality.mark_final(wallet=wallet), full=refund_finality.LIMIT, seconds=FINALITY_SECONDS
        )
    except RpcFailure as failure:
        log.warning(names.RPC_FAILED, reason=type(failure).__name__)
        return 0
    asset = default_network().assets[0].asset_id
    facts: dict[str, str | int] = {
        "dust": loa("REFUND_DUST_MICRO_USDC"),
        "asset": asset,
        "wallet": wallet,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_OWED, facts)
        owed = cursor.fetchall()
    begun = 0
    for note_id, owner, remaining in owed:
        wish = refunds.Wish(
            owner, account_id_of_wallet(owner), amount_micro_usdc=remaining, note_id=note_id, cause=CAUSE_OWED
        )
        try:
            refunds.request(wish)
        except (refunds.RefundRefused, AccountsError) as refused:
            log.info(names.REFUND_REFUSED, note_id=note_id, code=refused.code)
            continue
        except RpcFailure as failure:
            log.warning(names.RPC_FAILED, note_id=note_id, reason=type(failure).__name__)
            return begun
        begun += 1
    return begun
