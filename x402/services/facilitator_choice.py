"""Which facilitator settles on a network: those in `LOA["FACILITATORS"]`, by dotted path, in their order."""

import threading

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from outbound.json_rpc import RpcClient
from telemetry.configuration import loa
from x402.chain.network_settings import networks
from x402.facilitators.base import Facilitator
from x402.facilitators.direct import DirectFacilitator
from x402.facilitators.fallback import FallbackFacilitator
from x402.facilitators.remote import RemoteFacilitator

_rpc_clients: dict[str, RpcClient] = {}
_lock = threading.Lock()


def rpc_of(network: str) -> RpcClient:
    """The process's JSON-RPC client for this network; it is shared by all threads."""
    with _lock:
        if network not in _rpc_clients:
            _rpc_clients[network] = RpcClient(networks()[network].rpc_urls)
        return _rpc_clients[network]


def facilitator_for(network: str) -> Facilitator:
    """A new facilitator for the calling thread: the one the settings name, or a remote one with ours behind it."""
    kinds = [import_string(path) for path in loa("FACILITATORS")]
    known, rpc, key = networks()[network], rpc_of(network), str(loa("RELAYER_PRIVATE_KEY"))
    if kinds == [RemoteFacilitator]:
        return RemoteFacilitator(network=known, rpc=rpc, is_alone=True)
    if kinds == [RemoteFacilitator, DirectFacilitator]:
        return FallbackFacilitator(
            RemoteFacilitator(network=known, rpc=rpc), DirectFacilitator(network=known, rpc=rpc, private_key=key)
        )
    if len(kinds) != 1:
        raise ImproperlyConfigured("LOA['FACILITATORS'] names one facilitator, or the remote one and then our own.")
    alone: Facilitator = kinds[0](network=known, rpc=rpc, private_key=key)
    return alone


def retired_facilitator(network: str, private_key: str) -> Facilitator:
    """Our relayer with a key that is no longer offered: it settles what was signed for that key, and nothing else."""
    return DirectFacilitator(network=networks()[network], rpc=rpc_of(network), private_key=private_key, is_retired=True)


def settles_itself() -> bool:
    """Whether our own relayer is among the facilitators; only it carries Permit2 transfers."""
    return any(import_string(path) is not RemoteFacilitator for path in loa("FACILITATORS"))
