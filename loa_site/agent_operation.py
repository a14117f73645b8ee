"""A message to an agent, in the OpenAPI document: a paid operation with a body of its own."""

from collections.abc import Callable
from typing import Any, Final

from inference.domain.agent_chat import MESSAGE_LENGTH_MAX, SESSION_ID_LENGTH_MAX

Json = dict[str, Any]

_MICRO_USDC: Final[Json] = {"type": "string", "pattern": "^[0-9]+$", "description": "MicroUSDC, in decimal."}
SCHEMAS: Final[Json] = {
    "AgentMessage": {
        "type": "object",
        "description": "Unknown fields are refused.",
        "additionalProperties": False,
        "required": ["token_id", "message"],
        "properties": {
            "token_id": {"type": "string", "description": "Decimal digits, as text."},
            "collection": {"type": "string", "description": "Needed when this site knows several collections."},
            "chain": {"type": "string", "description": "CAIP-2; needed when collections share an address."},
            "message": {"type": "string", "minLength": 1, "maxLength": MESSAGE_LENGTH_MAX},
            "session_id": {
                "type": "string",
                "maxLength": SESSION_ID_LENGTH_MAX,
                "description": "Your own mark, given back. An agent remembers nothing between calls.",
            },
            "max_tokens": {"type": "integer", "minimum": 1, "description": "The longest answer to pay for."},
        },
        "example": {"token_id": "7", "message": "What do you know about ledgers?"},
    },
    "AgentAnswer": {
        "type": "object",
        "properties": {
            "response": {"type": "string"},
            "finish_reason": {"type": "string"},
            "session_id": {"type": "string"},
            "personality": {
                "type": "object",
                "properties": {
                    **{name: {"type": "string"} for name in ("chain", "collection", "token_id", "name", "voice")},
                    "version": {"type": "integer"},
                },
            },
            "billing": {
                "type": "object",
                "properties": {
                    "payment_id": {"type": "string"},
                    "model": {"type": "string"},
                    "usage": {
                        "type": "object",
                        "properties": {"input_tokens": {"type": "integer"}, "output_tokens": {"type": "integer"}},
                    },
                    "price_version": {"type": "integer"},
                    "quoted_micro_usdc": _MICRO_USDC,
                    "charged_micro_usdc": _MICRO_USDC,
                    "change_micro_usdc": _MICRO_USDC,
                },
            },
        },
    },
}


def agent_operation(paid: Callable[[str, str, Json], Json]) -> Json:
    """`POST /api/v1/agent/chat`. `paid` makes a paid operation of an id, a summary and its answers."""
    found = {"schema": {"$ref": "#/components/schemas/AgentAnswer"}}
    answer = {"description": "What the agent said, and what it cost.", "content": {"application/json": found}}
    operation = paid("agent_chat", "Buy an answer of an NFT's agent", {"200": answer})
    operation["tags"] = ["agents"]
    operation["requestBody"]["content"]["application/json"]["schema"] = {"$ref": "#/components/schemas/AgentMessage"}
    return operation
