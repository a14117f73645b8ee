"""What a test of the remote facilitator looks at: the circuit, the chain's transfers, and who carried them."""

from typing import Any

from django.conf import settings as site

from outbound.breaker import Circuit
from outbound.breaker_state import settlement_breaker
from outbound.redis_scripts import redis_client
from telemetry.configuration import loa, redis_key
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from x402.chain.transactions import Signer
from x402.models import Payment

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def close_circuit() -> None:
    redis = redis_client()
    if redis is not None:
        redis.delete(redis_key(f"circuit:{loa('ENVIRONMENT')}:settlement"))
    settlement_breaker._local = Circuit()


def transfers_of(chain: LocalChain, buyer: Buyer) -> list[dict[str, Any]]:
    """Every transfer this wallet made, by the chain."""
    found: list[dict[str, Any]] = chain.call(
        "eth_getLogs",
        {
            "fromBlock": "0x0",
            "toBlock": "latest",
            "topics": [TRANSFER, "0x" + buyer.address[2:].lower().rjust(64, "0")],
        },
    )
    return found


def payment_of(buyer: Buyer) -> Payment:
    return Payment.objects.get(payer=buyer.address.lower())


def carrier_of(chain: LocalChain, buyer: Buyer) -> str:
    """Who carried this wallet's one transfer to the chain."""
    [transfer] = transfers_of(chain, buyer)
    return str(chain.call("eth_getTransactionByHash", transfer["transactionHash"])["from"]).lower()


def relayer() -> str:
    return Signer(site.LOA["RELAYER_PRIVATE_KEY"]).address.lower()
