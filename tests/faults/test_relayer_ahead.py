"""A chain that mined more of a relayer than its rows know: rows are gone, and money stops (R10, R25)."""

from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection, connections
from eth_account import Account

from billing.domain.errors import RecoveryInProgress
from billing.services import recovery
from loa_site.local import wallets
from tests.factories.own_ledger import OwnLedger
from tests.x402.chain_tools import LocalChain
from x402.chain.network_settings import default_network
from x402.facilitators.direct import DirectFacilitator
from x402.models import ChainTransaction, Relayer
from x402.services.facilitator_choice import rpc_of

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def trusted(own_ledger: OwnLedger, settings: LazySettings, tmp_path: Path) -> OwnLedger:
    """A ledger this process trusts."""
    settings.DATABASE_DIRECT_URL = own_ledger.urls["DATABASE_DIRECT_URL"]
    settings.LOA = {**settings.LOA, "TIMELINE_FILE": str(tmp_path / "timeline.json"), "REDIS_URL": ""}
    connections.close_all()
    connection.ensure_connection()
    return own_ledger


def sent_without_a_row(name: str) -> DirectFacilitator:
    """A relayer whose key has sent one transaction that no row knows."""
    wallet = wallets.wallet(name)
    network = default_network()
    chain = LocalChain(network.rpc_urls[0])
    chain.send_from(wallet.private_key, Account.create().address, "0x")
    return DirectFacilitator(network=network, rpc=rpc_of(network.caip2), private_key=wallet.private_key)


def test_a_relayer_that_sent_more_than_its_rows_know_stops_the_money(trusted: OwnLedger) -> None:
    relayer = sent_without_a_row("forgotten relayer")
    network = default_network().caip2
    Relayer.objects.create(network=network, address=relayer.address, next_nonce=0)
    ChainTransaction.objects.create(
        network=network,
        relayer=relayer.address,
        nonce=0,
        transaction_hash="0x" + "ab" * 32,
        raw=b"\x02",
        state="mined",
        gas_limit=1,
        max_fee_per_gas_wei=1,
        max_priority_fee_per_gas_wei=1,
        payment_count=0,
    )

    with pytest.raises(RecoveryInProgress):
        relayer.submit()

    assert recovery.open_recovery()["reasons"] == ["relayer_ahead"]
    assert recovery.is_under_way()


def test_a_key_that_is_new_to_this_database_may_have_a_past_elsewhere(trusted: OwnLedger) -> None:
    relayer = sent_without_a_row("adopted relayer")

    submitted = relayer.submit()

    assert submitted.is_leader
    assert not recovery.is_under_way()
