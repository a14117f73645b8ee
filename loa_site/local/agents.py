"""A token of the local collection for each payer wallet, so that whoever starts the stack can give an agent a voice.

The tokens are minted by transactions, not written into the state, because detection reads their Transfer events.
"""

import json
import time
from typing import Final

import contracts
from loa_site.local import wallets
from loa_site.local.chain import CHAIN_ID, Chain
from loa_site.local.errors import LocalStackError

MINT: Final = wallets.keccak256(b"mint(address,uint256)")[:4]
RECEIPT_LOOKS, RECEIPT_SECONDS = 200, 0.05
OWNER_OF: Final = wallets.keccak256(b"ownerOf(uint256)")[:4]


def mint_missing(chain: Chain) -> int:
    """Mint token n to payer n where nobody owns it yet, and say how many. A kept chain has them already."""
    payers = list(enumerate(wallets.payers(), start=1))
    questions = [("eth_call", [_call(OWNER_OF, number), "latest"]) for number, _payer in payers]
    owners = chain.call_all(questions)
    missing = [(number, payer) for (number, payer), owner in zip(payers, owners, strict=True) if int(owner, 16) == 0]
    for number, payer in missing:
        mint(chain, payer.address, number)
    return len(missing)


def mint(chain: Chain, owner: str, number: int) -> None:
    """Give a wallet the token of that number, as anybody may here."""
    [sender, *_] = chain.call("eth_accounts")
    sent = chain.call("eth_sendTransaction", {"from": sender} | _call(MINT, int(owner, 16), number))
    for _ in range(RECEIPT_LOOKS):
        if chain.call("eth_getTransactionReceipt", sent) is not None:
            return
        time.sleep(RECEIPT_SECONDS)
    raise LocalStackError(f"The local chain did not mine the token of {owner}.")


def collections() -> str:
    """The value of LOA_NFT_COLLECTIONS for the local chain."""
    return json.dumps({f"eip155:{CHAIN_ID}/erc721:{contracts.LOCAL_AGENTS_ADDRESS}": {"name": "Local Agent"}})


def listed() -> str:
    """The value of LOA_BETA_BYPASS_ADDRESSES: the wallets that own a token."""
    return ",".join(payer.address for payer in wallets.payers())


def _call(selector: bytes, *words: int) -> dict[str, str]:
    data = selector + b"".join(word.to_bytes(32, "big") for word in words)
    return {"to": contracts.LOCAL_AGENTS_ADDRESS, "data": "0x" + data.hex()}
