"""What the chain says of signed authorizations at one block: nonce used, balance, code at the payer.

One HTTP round trip for any number of payments: a batch of the block's header, one `aggregate3` call and the payers'
code. All answers name their block, because a refusal or an acceptance is only as good as the block it was read at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from outbound.json_rpc import Call, Json, OutcomeUnknown, RpcClient, bytes_of, number_of
from x402.chain import abi, multicall, permit2, tokens
from x402.protocol.errors import PaymentRefused
from x402.protocol.payload import Permit2Authorization, SignedTransfer
from x402.protocol.schemes.exact_eip3009 import ChainQuestions
from x402.protocol.schemes.exact_permit2 import PERMIT2

ATTEMPTS: Final = 3  # a block that arrives between header and call makes one more round trip; three in a row do not
_HASH_CHARACTERS: Final = 66
_CALLS_FOR_BLOCK: Final = 2


@dataclass(frozen=True, slots=True)
class Block:
    """A block by number, hash (hex with 0x) and timestamp (Unix seconds)."""

    number: int
    hash: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class AuthorizationState:
    """One payment at that block. Amounts in the asset's atomic unit; a cancelled nonce counts as used.

    `allowance` is what Permit2 may move of the payer's, and None where the transfer does not go through Permit2.
    """

    is_used: bool
    balance: int
    payer_has_code: bool
    allowance: int | None = None

    @property
    def spendable(self) -> int:
        """The most that could be moved at that block."""
        return self.balance if self.allowance is None else min(self.balance, self.allowance)


@dataclass(frozen=True, slots=True)
class ChainState:
    """Answers in the order of the questions, all read at `block`."""

    block: Block
    authorizations: tuple[AuthorizationState, ...]


def verify_chain_state(
    rpc: RpcClient, questions: Sequence[ChainQuestions], *, multicall3: str, block: str = "latest"
) -> ChainState:
    """The state of these authorizations at one block: `latest`, `finalized`, a number in hex, or a block's hash.

    Raises RpcFailure; OutcomeUnknown also when a token or Multicall3 does not answer as its ABI promises, since a call
    to an address without code succeeds with nothing.
    """
    for _ in range(ATTEMPTS):
        calls = _calls(questions, multicall3=multicall3, block=block)
        header, aggregated, *codes = rpc.batch(calls)
        state = _read(header, aggregated, codes=codes, questions=questions)
        if state is not None:
            return state
    raise OutcomeUnknown("blocks arrive faster than one of them can be read")


def authorization_state(
    rpc: RpcClient, authorization: SignedTransfer, *, asset: str, multicall3: str, block: str = "latest"
) -> ChainState:
    """`verify_chain_state` for one signed transfer of the token at `asset`."""
    return verify_chain_state(rpc, [question_of(authorization, asset=asset)], multicall3=multicall3, block=block)


def question_of(authorization: SignedTransfer, *, asset: str) -> ChainQuestions:
    """What must be asked about one signed transfer of the token at `asset`."""
    return ChainQuestions(
        asset=abi.address_of(asset),
        payer=authorization.from_,
        nonce=authorization.nonce_bytes,
        value=authorization.value,
        through_permit2=isinstance(authorization, Permit2Authorization),
    )


def require_payable(state: AuthorizationState, *, value: int) -> None:
    """Refuse a payment whose nonce is gone, whose payer has code, or that the balance does not cover.

    A payer with code is checked by the token itself, not by recovery, and is not accepted by default (rule R26).
    Raises PaymentRefused with the specification's reason.
    """
    if state.is_used:
        raise PaymentRefused("invalid_exact_evm_nonce_already_used", "this authorization was used or cancelled")
    if state.payer_has_code:
        raise PaymentRefused("invalid_exact_evm_payload_signature", "accounts with code cannot pay here")
    if state.balance < value:
        raise PaymentRefused("insufficient_funds", "the payer's balance does not cover the price")
    if state.allowance is not None and state.allowance < value:
        raise PaymentRefused("permit2_allowance_required", "approve Permit2 for at least the price, then pay again")


def _calls(questions: Sequence[ChainQuestions], *, multicall3: str, block: str) -> list[Call]:
    aggregator = abi.address_of(multicall3)
    inner: list[tuple[str | bytes, bytes]] = [
        (aggregator, multicall.BLOCK_NUMBER),
        (aggregator, multicall.BLOCK_TIMESTAMP),
    ]
    for question in questions:
        inner += _questions_asked(question)
    data = "0x" + multicall.encode_aggregate3(inner).hex()
    is_hash = len(block) == _HASH_CHARACTERS
    where: object = {"blockHash": block} if is_hash else block  # EIP-1898
    calls: list[Call] = [
        ("eth_getBlockByHash" if is_hash else "eth_getBlockByNumber", [block, False]),
        ("eth_call", [{"to": multicall3, "data": data}, where]),
    ]
    calls += [("eth_getCode", ["0x" + question.payer.hex(), where]) for question in questions]
    return calls


def _questions_asked(question: ChainQuestions) -> list[tuple[str | bytes, bytes]]:
    balance = (question.asset, tokens.balance_of(question.payer))
    if not question.through_permit2:
        return [(question.asset, tokens.authorization_state(question.payer, question.nonce)), balance]
    return [
        (PERMIT2, permit2.nonce_bitmap(question.payer, question.nonce)),
        balance,
        (question.asset, permit2.allowance(question.payer)),
    ]


def _read(
    header: Json, aggregated: Json, *, codes: Sequence[Json], questions: Sequence[ChainQuestions]
) -> ChainState | None:
    """The state, or None when header and call were answered at different blocks."""
    if not isinstance(header, dict):
        raise OutcomeUnknown("the node does not know that block")
    block = Block(number_of(header.get("number")), str(header.get("hash")), number_of(header.get("timestamp")))
    try:
        results = multicall.decode_aggregate3(
            bytes_of(aggregated), count=_CALLS_FOR_BLOCK + sum(len(_questions_asked(one)) for one in questions)
        )
        facts = [_fact(result) for result in results]
    except abi.UnreadableAnswer as error:
        raise OutcomeUnknown(str(error)) from error
    # Either is enough: a rollup's contracts may see another block number, a genesis block another timestamp.
    if facts[0] != block.number and facts[1] != block.timestamp:
        return None
    answers = iter(facts[_CALLS_FOR_BLOCK:])
    return ChainState(
        block=block,
        authorizations=tuple(
            _state(question, answers, has_code=code not in ("0x", "0x0", None))
            for question, code in zip(questions, codes, strict=True)
        ),
    )


def _state(question: ChainQuestions, answers: Iterator[int], *, has_code: bool) -> AuthorizationState:
    """One payment's answers, taken off the front in the order they were asked."""
    use, balance = next(answers), next(answers)
    if not question.through_permit2:
        return AuthorizationState(is_used=use != 0, balance=balance, payer_has_code=has_code)
    return AuthorizationState(
        is_used=permit2.is_nonce_set(use, question.nonce),
        balance=balance,
        payer_has_code=has_code,
        allowance=next(answers),
    )


def _fact(result: tuple[bool, bytes]) -> int:
    succeeded, data = result
    if not succeeded:
        raise abi.UnreadableAnswer("a contract reverted where its ABI promises an answer")
    return abi.read_word(data, 0)
