"""The OpenAI interface in the OpenAPI document: what of that interface is sold here, and what of ours is beside it."""

from collections.abc import Callable
from typing import Any, Final

from inference.domain.openai_request import OPTIONS, OWN_KEY_FIELD, ROLES

Json = dict[str, Any]

_MICRO_USDC: Final[Json] = {"type": "string", "pattern": "^[0-9]+$", "description": "MicroUSDC, in decimal."}
_LOA: Final[Json] = {
    "type": "object",
    "description": "What the call came to.",
    "properties": {
        "payment_id": {"type": "string"},
        "price_version": {"type": "integer"},
        "quoted_micro_usdc": _MICRO_USDC,
        "charged_micro_usdc": _MICRO_USDC,
        "change_micro_usdc": _MICRO_USDC,
    },
}
_USAGE: Final[Json] = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
}
OPENAI_SCHEMAS: Final[Json] = {
    "OpenAIChatRequest": {
        "type": "object",
        "description": "`n` is 1, parts are text, and fields that are not named here are refused.",
        "additionalProperties": False,
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string", "maxLength": 100},
            "messages": {
                "type": "array",
                "minItems": 1,
                "maxItems": 200,
                "items": {
                    "type": "object",
                    "required": ["role"],
                    "properties": {
                        "role": {"type": "string", "enum": list(ROLES)},
                        "content": {"description": "A string, or a list of text parts; null beside tool calls."},
                        "name": {"type": "string"},
                        "tool_calls": {"type": "array", "items": {"type": "object"}},
                        "tool_call_id": {"type": "string"},
                    },
                },
            },
            "max_tokens": {"type": "integer", "minimum": 1, "description": "The longest answer to pay for."},
            "max_completion_tokens": {"type": "integer", "minimum": 1, "description": "Another name of max_tokens."},
            "tools": {"type": "array", "maxItems": 128, "items": {"type": "object"}},
            "stream": {"type": "boolean"},
            "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
            "n": {"type": "integer", "enum": [1]},
            "user": {"type": "string"},
            "store": {"type": "boolean"},
            "metadata": {"type": "object"},
            OWN_KEY_FIELD: {"type": "string", "description": "The id of a key of your own (POST /api/v1/byok/keys)."},
            **{name: {"description": "Passed on to the model's provider."} for name in sorted(OPTIONS)},
        },
        "example": {
            "model": "loa-demo",
            "max_tokens": 60,
            "messages": [{"role": "user", "content": "Name three ledgers older than paper."}],
        },
    },
    "OpenAIChatCompletion": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "object": {"type": "string", "enum": ["chat.completion"]},
            "created": {"type": "integer"},
            "model": {"type": "string"},
            "choices": {"type": "array", "items": {"type": "object"}},
            "usage": _USAGE,
            "loa": _LOA,
        },
    },
    "OpenAIModel": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "object": {"type": "string", "enum": ["model"]},
            "created": {"type": "integer"},
            "owned_by": {"type": "string"},
        },
    },
    "OpenAIModelList": {
        "type": "object",
        "properties": {
            "object": {"type": "string", "enum": ["list"]},
            "data": {"type": "array", "items": {"$ref": "#/components/schemas/OpenAIModel"}},
        },
    },
}
_TAGS: Final = ["openai"]


def openai_paths(paid: Callable[[str, str, Json], Json]) -> Json:
    """The addresses of the interface. `paid` makes a paid operation of an id, a summary and its answers."""
    completions = paid("openai_chat_completions", "Buy an answer, whole or as a stream", {"200": _answer()})
    completions["tags"] = _TAGS
    completions["requestBody"]["content"]["application/json"]["schema"] = _reference("OpenAIChatRequest")
    name = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    one_model = _reading("openai_model", "One model on sale", "OpenAIModel") | {"parameters": [name]}
    return {
        "/v1/chat/completions": {"post": completions},
        "/v1/models": {"get": _reading("openai_models", "Models on sale", "OpenAIModelList")},
        "/v1/models/{model}": {"get": one_model},
    }


def _answer() -> Json:
    return {
        "description": "The answer. Streamed: chunks, one with `usage` and `loa`, and `[DONE]` once it is booked.",
        "content": {
            "application/json": {"schema": _reference("OpenAIChatCompletion")},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    }


def _reading(operation_id: str, summary: str, schema: str) -> Json:
    found = {"description": f"{summary}.", "content": {"application/json": {"schema": _reference(schema)}}}
    head: Json = {"operationId": operation_id, "summary": summary, "tags": _TAGS, "security": [{}]}
    return head | {"responses": {"200": found}}


def _reference(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}
