"""Which credit may leave on the chain: only what came from money that is final there (rule R4).

A payment of one confirmation is good enough to spend as credit; paid out, it would be gone when a reorganisation takes
the payment away. So a note becomes refundable when the block that its money stands in is at or below the network's
finalized block and still the block of that number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db import connection

from billing.services import refunds as ledger_refunds
from outbound.json_rpc import Json, number_of
from x402.chain.network_settings import networks
from x402.services.facilitator_choice import rpc_of

LIMIT: Final = 200

# The oldest first, because they are final first: those of the last minutes must not fill the limit again and again.
# Where a note's money stands: in the payment's row, in the journal that issued it late, or in the deposit's journal. A
# refund that failed gave back what was final before.
_WAITING: Final = """
SELECT n.source, split_part(n.denomination, '/', 1) AS network,
  coalesce(p.block_number, (late.metadata ->> 'block_number')::bigint, (found.metadata ->> 'block_number')::bigint),
  coalesce(nullif(p.block_hash, ''), late.metadata ->> 'block_hash', found.metadata ->> 'block_hash'),
  r.id IS NOT NULL
FROM billing.credit_note n
LEFT JOIN x402_payment p ON p.id = n.source AND p.block_number IS NOT NULL
LEFT JOIN x402_refund r ON r.id = n.source
LEFT JOIN billing.journal late ON late.id = n.journal_id COLLATE "C" AND late.kind = 'credit_note_owed'
LEFT JOIN billing.journal found ON found.id = n.source COLLATE "C"
WHERE n.remaining > 0 AND n.refundable_at IS NULL AND (%(wallet)s = '' OR n.wallet = %(wallet)s)
  AND (r.id IS NOT NULL OR p.block_number IS NOT NULL OR late.metadata ? 'block_number'
    OR found.metadata ? 'block_number')
ORDER BY n.number LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class _Source:
    id: str
    network: str
    block_number: int
    block_hash: str
    is_final: bool


def mark_final(*, wallet: str = "", limit: int = LIMIT) -> int:
    """Make refundable what has become final, of one wallet or of all; how many sources. Raises RpcFailure."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, {"wallet": wallet.lower(), "limit": limit})
        waiting = [_Source(row[0], row[1], int(row[2] or 0), row[3] or "", row[4]) for row in cursor.fetchall()]
    final = [source.id for source in waiting if source.is_final]
    for network in {source.network for source in waiting if not source.is_final}:
        if network in networks():
            final += _final_on_chain(network, [one for one in waiting if one.network == network and not one.is_final])
    if final:
        ledger_refunds.mark_refundable(sources=sorted(set(final)))
    return len(final)


def _final_on_chain(network: str, waiting: Sequence[_Source]) -> list[str]:
    """Those whose block is final: one batched call asks for the finalized block and for theirs by number."""
    numbers = sorted({source.block_number for source in waiting})
    calls = [("eth_getBlockByNumber", [networks()[network].finality_tag, False])]
    calls += [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
    final, *blocks = rpc_of(network).batch(calls)
    if not isinstance(final, dict):
        return []
    newest = number_of(final.get("number"))
    hashes = {number: _hash_of(block) for number, block in zip(numbers, blocks, strict=True)}
    return [one.id for one in waiting if one.block_number <= newest and hashes[one.block_number] == one.block_hash]


def _hash_of(block: Json) -> str:
    return str(block.get("hash")).lower() if isinstance(block, Mapping) else ""
