"""The names under which the payment side calls nodes; the client itself is `outbound.json_rpc`."""

from outbound.json_rpc import (
    Call,
    Json,
    NothingSent,
    OutcomeUnknown,
    RpcClient,
    RpcFailure,
    RpcRefused,
    bytes_of,
    number_of,
)

__all__ = [
    "Call",
    "Json",
    "NothingSent",
    "OutcomeUnknown",
    "RpcClient",
    "RpcFailure",
    "RpcRefused",
    "bytes_of",
    "number_of",
]
