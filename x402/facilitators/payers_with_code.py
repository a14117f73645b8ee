"""Payers that got code after they were verified travel alone (R26): looked for again before a batch is built.

What was verified within the last block is not asked about again; what waited longer is, in one batched call.
"""

from django.db import connection

from outbound.json_rpc import RpcClient
from x402.chain.network_settings import Network
from x402.facilitators.due_payments import IS_DUE
from x402.models import Payment

_WAITED = """
SELECT id, payer FROM x402_payment WHERE network = %s AND @due AND NOT payer_has_code
  AND created_at < clock_timestamp() - make_interval(secs => %s) ORDER BY created_at LIMIT %s
""".replace("@due", IS_DUE)


def mark(rpc: RpcClient, network: Network, *, limit: int) -> int:
    """Mark due payments whose payer has code by now; how many. Locks nothing while it asks. Raises RpcFailure."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITED, [network.caip2, network.block_seconds, limit])
        waited = cursor.fetchall()
    if not waited:
        return 0
    codes = rpc.batch([("eth_getCode", [payer, "latest"]) for _, payer in waited])
    marked = [payment_id for (payment_id, _), code in zip(waited, codes, strict=True) if code not in ("0x", "0x0")]
    return Payment.objects.filter(pk__in=marked).update(payer_has_code=True) if marked else 0
