"""What the relayer burns and what it has left: booked once per transaction, watched before it runs out (R33).

Units: wei on the chain, KiloWei in the books, rounded up. A transaction that reverted has cost as much as one that did
not, and the fee of an OP-stack chain includes its `l1Fee`.
"""

from typing import Final

from billing.domain import accounts
from billing.domain.errors import Refused
from billing.domain.money import KiloWei
from billing.selectors import balances
from billing.services import events
from outbound.json_rpc import RpcFailure, number_of
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger, log_metric
from telemetry.metrics import gauge
from x402.chain.network_settings import networks
from x402.models import ChainTransaction, TransactionState
from x402.services.facilitator_choice import rpc_of
from x402.services.ways_to_pay import relayer_addresses

BATCH: Final = 500
WEI_PER_KILO_WEI: Final = 1_000
LARGEST_KILO_WEI: Final = 2**62  # half of what an account can hold: a richer key is not one for gas

log = get_logger(__name__)
_balance = gauge(
    names.RELAYER_BALANCE,
    "Gas money of the relayer's key.",
    labels=("network",),
    across_processes="mostrecent",
)


def book_spent_gas() -> int:
    """Book the gas of every mined transaction that is not in the books yet; how many. Safe to repeat."""
    booked = 0
    waiting = ChainTransaction.objects.filter(
        state=TransactionState.MINED, gas_booked=False, fee_wei__isnull=False
    ).order_by("pk")
    for one in waiting[:BATCH]:
        spent = KiloWei(-(-int(one.fee_wei or 0) // WEI_PER_KILO_WEI))
        if spent.units:
            events.book_gas(network=one.network, relayer=one.relayer, tx_hash=one.transaction_hash, spent=spent)
        ChainTransaction.objects.filter(pk=one.pk).update(gas_booked=True)
        booked += 1
    return booked


def watch_balances() -> dict[str, int]:
    """Read each relayer's gas money, book what it was given, and warn before it is gone. Units: KiloWei.

    Money that came is what the chain has more than the books. Chains that cannot be read now are left out.
    """
    found: dict[str, int] = {}
    for network in networks():
        for address in relayer_addresses():
            try:
                rpc = rpc_of(network)
                block = str(rpc.call("eth_blockNumber"))
                wei = number_of(rpc.call("eth_getBalance", [address, block]))
            except RpcFailure as failure:
                log.warning(names.RPC_FAILED, network=network, reason=type(failure).__name__)
                continue
            kilo_wei = wei // WEI_PER_KILO_WEI
            found[f"{network}:{address}"] = kilo_wei
            _balance.labels(network=network).set(kilo_wei)
            _warn(network, address, kilo_wei)
            _book_funding(network, address, kilo_wei=kilo_wei, block=block)
    return found


def _warn(network: str, address: str, kilo_wei: int) -> None:
    critical, low = loa("RELAYER_CRITICAL_KILO_WEI"), loa("RELAYER_LOW_KILO_WEI")
    if kilo_wei >= low:
        return
    is_critical = kilo_wei < critical
    log_metric(
        log,
        names.RELAYER_BALANCE_CRITICAL if is_critical else names.RELAYER_BALANCE_LOW,
        level="error" if is_critical else "warning",
        network=network,
        address=address,
        kilo_wei=kilo_wei,
    )


def _book_funding(network: str, address: str, *, kilo_wei: int, block: str) -> None:
    in_books = -balances.balance_of(
        accounts.relayer(network=network, address=address), accounts.coin_denomination(network)
    )
    given = kilo_wei - in_books
    if given <= 0 or kilo_wei > LARGEST_KILO_WEI:
        return
    try:
        events.fund_relayer(
            network=network, relayer=address, tx_hash=f"{address.lower()}:{block}", amount=KiloWei(given)
        )
    except Refused as refusal:
        log.warning(names.JOURNAL_REFUSED, kind="relayer_funded", code=refusal.code)
