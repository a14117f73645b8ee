"""What a drill asks the service and the books about."""

import time

from django.conf import settings
from django.test import Client

from billing.domain import accounts
from billing.selectors.balances import balance_of
from loa_site.health import parts
from tests.factories import ledger
from tests.x402.chain_tools import LocalChain
from x402.chain.transactions import Signer
from x402.models import Payment
from x402.tasks import settle_due, sweep_payments

PATIENCE_SECONDS = 60


def readiness() -> tuple[int, str]:
    """What /readyz says now; /health agrees."""
    parts.forget()
    response = Client().get("/health")
    ready = Client().get("/readyz")
    assert response.json()["ready_for_billing"] == (ready.json()["status"] == "ready")
    return ready.status_code, ready.json()["status"]


def received_by(treasury: str) -> int:
    """What the ledger says the treasury has received. Units: MicroUSDC."""
    name = accounts.treasury(network=ledger.NETWORK, asset_address=ledger.ASSET, pay_to=treasury)
    return -balance_of(name, ledger.USDC)


def chain_nonce(chain: LocalChain) -> int:
    relayer = Signer(settings.LOA["RELAYER_PRIVATE_KEY"])
    return int(chain.call("eth_getTransactionCount", relayer.address, "latest"), 16)


def settle_what_was_stored() -> None:
    """Let the periodic work finish what had a row: a transaction may be stored, and sent only after recovery."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while Payment.objects.filter(state__in=["settling", "settlement_unknown"]).exists():
        assert time.monotonic() < deadline
        settle_due()
        sweep_payments()
        time.sleep(0.3)
