"""A wallet with money, and the header with which it pays a site that runs in a process of its own."""

import secrets
from typing import Any

from django.conf import settings

from tests.journeys.live_site import LiveSite
from tests.x402.buyer import Buyer, decoded
from tests.x402.chain_tools import LocalChain

INVOKE = "/api/v1/x402/invoke"


def funded() -> Buyer:
    """A new wallet with one USDC on this run's chain."""
    buyer = Buyer("0x" + secrets.token_hex(32))
    LocalChain(settings.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0]).mint(buyer.address, 1_000_000)
    return buyer


def header_for(site: LiveSite, buyer: Buyer, question: dict[str, Any]) -> str:
    """What the buyer sends as PAYMENT-SIGNATURE for the question, after having asked for the price."""
    unpaid = site.ask("POST", INVOKE, question)
    return buyer.v2_header(decoded({name.upper(): value for name, value in unpaid.headers.items()}["PAYMENT-REQUIRED"]))
