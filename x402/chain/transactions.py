"""The relayer's own transactions (EIP-1559): built, signed and named before they are sent.

The hash of signed bytes is known before any node has seen them, so a row can hold both first (rule R25). A replacement
keeps the account nonce and raises both fees; nothing goes above a ceiling, however long a transaction is stuck.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from coincurve import PrivateKey

from outbound.json_rpc import Json, OutcomeUnknown, RpcClient, RpcFailure, RpcRefused, number_of
from x402.chain import abi, rlp
from x402.protocol import eip712
from x402.protocol.keccak import keccak256

FEE_CEILING_WEI: Final = 200 * 10**9  # per gas; Base's worst hours were below 100 gwei
REPLACEMENT_PERCENT: Final = 125  # nodes want at least 110; more is gone in one step when fees move
BASE_FEE_BLOCKS: Final = 2  # a doubled base fee survives six full blocks in a row
_TYPE: Final = b"\x02"


class FeeCeilingReached(Exception):
    """Raised when a transaction would have to pay more per gas than the ceiling allows. `ceiling_wei` says which."""

    def __init__(self, *, needed_wei: int, ceiling_wei: int) -> None:
        super().__init__(f"{needed_wei} wei per gas are needed, {ceiling_wei} are allowed")
        self.needed_wei = needed_wei
        self.ceiling_wei = ceiling_wei


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction may pay per gas. Units: wei."""

    max_fee_per_gas_wei: int
    max_priority_fee_per_gas_wei: int


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A transaction before its signature; `to` in hex, `value_wei` is native coin and zero for every payment."""

    chain_id: int
    nonce: int
    to: str
    data: bytes
    gas_limit: int
    fees: Fees
    value_wei: int = 0


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """The bytes to send, and their hash (hex with 0x)."""

    unsigned: Unsigned
    raw: bytes
    transaction_hash: str

    @property
    def nonce(self) -> int:
        return self.unsigned.nonce

    @property
    def gas_limit(self) -> int:
        return self.unsigned.gas_limit

    @property
    def max_fee_per_gas_wei(self) -> int:
        return self.unsigned.fees.max_fee_per_gas_wei

    @property
    def max_priority_fee_per_gas_wei(self) -> int:
        return self.unsigned.fees.max_priority_fee_per_gas_wei


class Signer:
    """Holds one private key and signs with it; `address` is its account with checksum. Thread-safe."""

    def __init__(self, private_key: str) -> None:
        try:
            secret = bytes.fromhex(private_key.removeprefix("0x"))
            self._key = PrivateKey(secret if len(secret) == 32 else b"")
        except ValueError:
            raise ValueError("a private key is 32 bytes in hex") from None  # the text itself must not be repeated
        self.address = eip712.checksum_address(eip712.address_of_key(self._key.public_key))

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def sign(self, unsigned: Unsigned) -> SignedTransaction:
        """The signed transaction; the same input always gives the same bytes (RFC 6979). Source: EIP-1559."""
        fields: list[rlp.Item] = [
            unsigned.chain_id,
            unsigned.nonce,
            unsigned.fees.max_priority_fee_per_gas_wei,
            unsigned.fees.max_fee_per_gas_wei,
            unsigned.gas_limit,
            abi.address_of(unsigned.to),
            unsigned.value_wei,
            unsigned.data,
            [],
        ]
        signature = self.recoverable(keccak256(_TYPE + rlp.encode(fields)))
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        raw = _TYPE + rlp.encode([*fields, signature[64], r, s])
        return SignedTransaction(unsigned, raw, "0x" + keccak256(raw).hex())

    def recoverable(self, digest: bytes) -> bytes:
        """A signature of 65 bytes whose last is the recovery id, 0 or 1; s is in the lower half."""
        return self._key.sign_recoverable(digest, hasher=None)

    def sign_digest(self, digest: bytes) -> bytes:
        """A 65-byte signature in canonical form (low s, v 27 or 28) over a typed-data digest."""
        signature = self.recoverable(digest)
        return signature[:64] + bytes((signature[64] + 27,))


class Refusal(StrEnum):
    """Why a node declined to take a transaction; only ALREADY_KNOWN says that it has it."""

    ALREADY_KNOWN = "already_known"
    NONCE_TOO_LOW = "nonce_too_low"
    UNDERPRICED = "underpriced"
    NO_GAS_MONEY = "no_gas_money"
    OTHER = "other"


_REFUSAL_WORDS: Final = (
    (Refusal.ALREADY_KNOWN, ("already known", "already imported", "known transaction", "already exists")),
    (Refusal.NONCE_TOO_LOW, ("nonce too low", "nonce is too low", "invalid nonce")),
    (Refusal.UNDERPRICED, ("underpriced", "fee too low", "max fee per gas less than block base fee")),
    (Refusal.NO_GAS_MONEY, ("insufficient funds",)),
)


def refusal_of(refused: RpcRefused) -> Refusal:
    """What a node's refusal of a transaction means; nodes agree on words, not on codes."""
    message = refused.message.lower()
    return next((refusal for refusal, words in _REFUSAL_WORDS if any(word in message for word in words)), Refusal.OTHER)


def is_already_known(failure: RpcFailure) -> bool:
    """Whether the node says that it holds these very bytes already."""
    return isinstance(failure, RpcRefused) and refusal_of(failure) is Refusal.ALREADY_KNOWN


def send(rpc: RpcClient, raw: bytes) -> None:
    """Hand signed bytes to a node; one that holds them already counts as success.

    Raises RpcRefused, NothingSent or OutcomeUnknown; only NothingSent proves that no node has them.
    """
    try:
        rpc.call("eth_sendRawTransaction", ["0x" + raw.hex()])
    except RpcRefused as refused:
        if not is_already_known(refused):
            raise


def current_fees(rpc: RpcClient, *, ceiling_wei: int = FEE_CEILING_WEI) -> Fees:
    """Fees that should be mined within a few blocks. Units: wei per gas. Raises RpcFailure, FeeCeilingReached."""
    header, priority = rpc.batch([("eth_getBlockByNumber", ["latest", False]), ("eth_maxPriorityFeePerGas", [])])
    if not isinstance(header, dict):
        raise OutcomeUnknown("the node shows no latest block")
    tip = number_of(priority)
    base_fee = number_of(header.get("baseFeePerGas"))
    if base_fee + tip > ceiling_wei:
        raise FeeCeilingReached(needed_wei=base_fee + tip, ceiling_wei=ceiling_wei)
    return Fees(min(base_fee * BASE_FEE_BLOCKS + tip, ceiling_wei), tip)


def replacement(unsigned: Unsigned, *, current: Fees, ceiling_wei: int = FEE_CEILING_WEI) -> Unsigned:
    """The same transaction with fees high enough to take its own place. Raises FeeCeilingReached."""
    return replace(unsigned, fees=raised_fees(unsigned.fees, current=current, ceiling_wei=ceiling_wei))


def raised_fees(fees: Fees, *, current: Fees, ceiling_wei: int = FEE_CEILING_WEI) -> Fees:
    """Fees that replace a transaction of these fees, and that are good now. Raises FeeCeilingReached."""
    raised = Fees(
        max(_raised(fees.max_fee_per_gas_wei), current.max_fee_per_gas_wei),
        max(_raised(fees.max_priority_fee_per_gas_wei), current.max_priority_fee_per_gas_wei),
    )
    if raised.max_fee_per_gas_wei > ceiling_wei:
        raise FeeCeilingReached(needed_wei=raised.max_fee_per_gas_wei, ceiling_wei=ceiling_wei)
    return raised


def next_nonce(rpc: RpcClient, address: str, *, stored: Sequence[int] = ()) -> int:
    """One above every nonce that rows, the latest block or the pending pool know (rule R25). Raises RpcFailure."""
    answers: list[Json] = rpc.batch(
        [("eth_getTransactionCount", [address, "latest"]), ("eth_getTransactionCount", [address, "pending"])]
    )
    return max([*(number_of(answer) for answer in answers), *(nonce + 1 for nonce in stored)])


def _raised(fee: int) -> int:
    return -(-fee * REPLACEMENT_PERCENT // 100) + 1
