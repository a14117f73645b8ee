"""Many calls in one, by the Multicall3 contract: `aggregate3`, each call allowed to fail alone.

In a transaction the caller of every inner call is Multicall3 itself, so nothing that depends on the caller may go
through it (rule R2), and its per-call results are return data, which a receipt does not hold (rule R3).
"""

from collections.abc import Sequence
from typing import Final

from x402.chain import abi

AGGREGATE3: Final = abi.selector("aggregate3((address,bool,bytes)[])")
BLOCK_NUMBER: Final = abi.selector("getBlockNumber()")
BLOCK_TIMESTAMP: Final = abi.selector("getCurrentBlockTimestamp()")


def encode_aggregate3(calls: Sequence[tuple[str | bytes, bytes]], *, allow_failure: bool = True) -> bytes:
    """Calldata for these (target, calldata) pairs. Source: Multicall3, aggregate3."""
    heads: list[bytes] = []
    bodies: list[bytes] = []
    offset = len(calls) * abi.WORD_BYTES
    for target, calldata in calls:
        address = abi.address_of(target) if isinstance(target, str) else target
        body = b"".join(
            (
                abi.word(address),
                abi.word(int(allow_failure)),
                abi.word(3 * abi.WORD_BYTES),
                abi.dynamic_bytes(calldata),
            )
        )
        heads.append(abi.word(offset))
        bodies.append(body)
        offset += len(body)
    return AGGREGATE3 + abi.word(abi.WORD_BYTES) + abi.word(len(calls)) + b"".join(heads) + b"".join(bodies)


def decode_aggregate3(answer: bytes, *, count: int) -> list[tuple[bool, bytes]]:
    """(succeeded, return data) of each of `count` calls. Raises UnreadableAnswer when the answer is not theirs."""
    array = abi.read_word(answer, 0)
    if abi.read_word(answer, array) != count:
        raise abi.UnreadableAnswer(f"the answer is not for {count} calls")
    start = array + abi.WORD_BYTES
    results = []
    for position in range(count):
        item = start + abi.read_word(answer, start + position * abi.WORD_BYTES)
        succeeded = abi.read_word(answer, item) == 1
        results.append((succeeded, abi.read_bytes(answer, item + abi.read_word(answer, item + abi.WORD_BYTES))))
    return results
