"""Signatures of wallets that are contracts (EIP-1271, EIP-6492), asked of our RPC node through the guarded client."""

from typing import Any, Final

from web3.providers import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from outbound import http
from telemetry.configuration import loa

ANSWER_BYTES_MAX: Final = 64 * 1024
TIMEOUT_SECONDS: Final = 5.0


class GuardedProvider(JSONBaseProvider):
    """What web3 asks, sent by `outbound`: bounded in time and size. Raises its OutboundError."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One JSON-RPC call."""
        request = http.OutboundRequest(
            method="POST",
            url=self._url,
            headers={"Content-Type": "application/json"},
            body=self.encode_rpc_request(method, params),
            purpose="sign_in",
            total_timeout_seconds=TIMEOUT_SECONDS,
            response_bytes_max=ANSWER_BYTES_MAX,
        )
        return self.decode_rpc_response(http.send(request).body)


def provider_for(chain_id: int) -> GuardedProvider | None:
    """A provider for a chain of the settings, or None when no node of it is known."""
    network = loa("NETWORKS").get(f"eip155:{chain_id}")
    urls = network["rpc_urls"] if network else ()
    return GuardedProvider(urls[0]) if urls else None
