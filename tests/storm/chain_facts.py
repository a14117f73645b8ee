"""What the chain says after a storm: every transfer to and from the addresses of the site, and what they hold."""

from dataclasses import dataclass
from typing import Any

import contracts
from tests.storm.world import World

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One Transfer log of the token. Units: MicroUSDC."""

    transaction_hash: str
    log_index: int
    sender: str
    recipient: str
    amount: int


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """Units: MicroUSDC."""

    treasury: int
    refund_float: int
    inflows: list[Transfer]
    outflows: list[Transfer]


def read(world: World) -> ChainFacts:
    """Everything at the newest block."""
    refunder = world.refunder.address
    return ChainFacts(
        treasury=world.chain.balance_of(world.pay_to),
        refund_float=world.chain.balance_of(refunder),
        inflows=_transfers(world, None, _topic(world.pay_to)),
        outflows=_transfers(world, _topic(refunder)),
    )


def _topic(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


def _transfers(world: World, *parties: str | None) -> list[Transfer]:
    question = {
        "fromBlock": "0x0",
        "toBlock": "latest",
        "address": contracts.USDC_ADDRESS,
        "topics": [TRANSFER, *parties],
    }
    found: list[dict[str, Any]] = world.chain.call("eth_getLogs", question)
    return [
        Transfer(
            transaction_hash=log["transactionHash"].lower(),
            log_index=int(log["logIndex"], 16),
            sender="0x" + log["topics"][1][-40:].lower(),
            recipient="0x" + log["topics"][2][-40:].lower(),
            amount=int(log["data"], 16),
        )
        for log in found
    ]
