"""Tokens that lie, assembled by hand: they accept every authorization, say it was used, and do not pay.

`balanceOf` answers plenty and `authorizationState` answers unused, so that verification is content; any other call
emits `AuthorizationUsed(from, nonce)`, and one of them also a Transfer of the right amount to somebody else.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.x402.chain_tools import LocalChain
from x402.chain import tokens

PLENTY = 10**12
SOMEBODY_ELSE = "00000000000000000000000000000000000bad"


def _push(value: str) -> str:
    """PUSHn of these bytes in hex."""
    return f"{0x5F + len(value) // 2:02x}{value}"


def _answer(value: int) -> str:
    """Store a word and return it: PUSH32 value, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, RETURN."""
    return _push(f"{value:064x}") + "600052" + "60206000f3"


def _if_selector(selector: bytes, then: str) -> str:
    """Run `then`, which ends the call, when the call's first four bytes are these; jumps over it by its length."""
    compare = "600035" + "60e01c" + _push(selector.hex()) + "1415"  # calldata[0] >> 224 == selector, then ISZERO
    return compare, then


def _assemble(branches: list[tuple[str, str]], rest: str) -> bytes:
    code = ""
    for compare, then in branches:
        # PC-relative jumps do not exist: the destination is known once the length so far is.
        after = (len(code) + len(compare)) // 2 + 4 + len(then) // 2
        code += compare + _push(f"{after:04x}") + "57" + then + "5b"
    return bytes.fromhex(code + rest)


def _calldata_word(position: int) -> str:
    """PUSH1 4+32*position, CALLDATALOAD."""
    return f"60{4 + 32 * position:02x}35"


# LOG3(offset 0, length 0, AuthorizationUsed, from, nonce): pushed in reverse.
_CLAIM = _calldata_word(5) + _calldata_word(0) + _push(tokens.AUTHORIZATION_USED_TOPIC[2:]) + "60006000" + "a3"
# The value goes to memory, then LOG3(0, 32, Transfer, from, somebody else).
_PAY_ANOTHER = (
    _calldata_word(2)
    + "600052"
    + _push(f"{int(SOMEBODY_ELSE, 16):064x}")
    + _calldata_word(0)
    + _push(tokens.TRANSFER_TOPIC[2:])
    + "60206000"
    + "a3"
)
_BRANCHES = [_if_selector(tokens.BALANCE_OF, _answer(PLENTY)), _if_selector(tokens.AUTHORIZATION_STATE, _answer(0))]

CLAIMS_ALREADY_USED = _assemble(_BRANCHES, _CLAIM + "00")
CLAIMS_AND_PAYS_ANOTHER = _assemble(_BRANCHES, _CLAIM + _PAY_ANOTHER + "00")


@contextmanager
def placed(chain: LocalChain, address: str, code: bytes) -> Iterator[None]:
    """The contract at this address replaced by `code`, and put back afterwards."""
    original = chain.call("eth_getCode", address, "latest")
    chain.call("anvil_setCode", address, "0x" + code.hex())
    try:
        yield
    finally:
        chain.call("anvil_setCode", address, original)
