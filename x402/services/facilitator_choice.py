"""Which facilitator settles on a network: the first in `LOA["FACILITATORS"]`, by dotted path."""

import threading

from django.utils.module_loading import import_string

from telemetry.configuration import loa
from x402.chain.network_settings import networks
from x402.chain.rpc import RpcClient
from x402.facilitators.base import Facilitator

_rpc_clients: dict[str, RpcClient] = {}
_lock = threading.Lock()


def rpc_of(network: str) -> RpcClient:
    """The process's JSON-RPC client for this network; it is shared by all threads."""
    with _lock:
        if network not in _rpc_clients:
            _rpc_clients[network] = RpcClient(networks()[network].rpc_urls)
        return _rpc_clients[network]


def facilitator_for(network: str) -> Facilitator:
    """A new facilitator for the calling thread."""
    [path, *_] = loa("FACILITATORS")
    facilitator: Facilitator = import_string(path)(
        network=networks()[network], rpc=rpc_of(network), private_key=str(loa("RELAYER_PRIVATE_KEY"))
    )
    return facilitator
