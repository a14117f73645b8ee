"""The parts of the OpenAPI document that no serializer describes: what is paid for, and what goes wrong.

Paid endpoints are plain Django views under the paywall, which REST framework's generator does not see; their
operations are written here, once, with the headers of both protocol versions. Every operation answers errors as
problem documents. Named in `SPECTACULAR_SETTINGS["POSTPROCESSING_HOOKS"]`.
"""

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.views import SpectacularAPIView

from loa_site.agent_operation import SCHEMAS as AGENT_SCHEMAS
from loa_site.agent_operation import agent_operation
from loa_site.openai_schema import OPENAI_SCHEMAS, openai_paths
from loa_site.purchase_operation import SCHEMAS as PURCHASE_SCHEMAS
from loa_site.purchase_operation import purchase_operation

Json = dict[str, Any]

MICRO_USDC: Final[Json] = {"type": "string", "pattern": "^[0-9]+$", "description": "MicroUSDC, in decimal."}
PAYMENT_HEADERS: Final = (
    ("PAYMENT-SIGNATURE", "A signed payment, protocol version 2: base64 of JSON, at most 16 KiB."),
    ("X-PAYMENT", "A signed payment, protocol version 1. Never together with PAYMENT-SIGNATURE."),
    ("Idempotency-Key", "16 to 128 letters, digits, - or _. Whoever shows it again may have the stored answer."),
    ("SIGN-IN-WITH-X", "A wallet's proof for this one request; with enough credit notes nothing else is needed."),
)
PROVEN_OTHERWISE: Final = ("get_payment", "get_receipt")  # a header of the payer's side does as well as a bearer
REFUSALS: Final = {
    "400": "The payment header or the body cannot be read, or two ways of paying were sent.",
    "401": "The bearer token or wallet proof does not hold.",
    "402": "The terms: what this request costs and how to pay, in PAYMENT-REQUIRED and in the body.",
    "409": "The payment belongs to another request, or the caller is not on the payer's side: state only.",
    "410": "The stored answer is no longer kept; the receipt is in the body.",
    "413": "The body is above 64 KiB.",
    "415": "The body is not application/json.",
    "422": "The request cannot be sold as asked: unknown model, empty or too long prompt, impossible max_tokens.",
    "429": "Too many requests.",
    "502": "The work failed after payment; the whole amount is a credit note.",
    "503": "The payment is being settled: send the same payload again after Retry-After.",
}
SCHEMAS: Final[Json] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457. Each code has a page at its `type`.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string"},
            "next_step": {"type": "string"},
            "correlation_id": {"type": "string"},
            "trace_id": {"type": "string"},
        },
        "additionalProperties": True,
    },
    "ChatRequest": {
        "type": "object",
        "description": "Send `prompt` or `messages`. Unknown fields are refused.",
        "additionalProperties": False,
        "properties": {
            "model": {"type": "string", "maxLength": 100, "description": "A name of GET /api/v1/models."},
            "prompt": {"type": "string", "minLength": 1},
            "messages": {
                "type": "array",
                "minItems": 1,
                "maxItems": 200,
                "items": {
                    "type": "object",
                    "required": ["role", "content"],
                    "additionalProperties": False,
                    "properties": {
                        "role": {"type": "string", "enum": ["system", "user", "assistant"]},
                        "content": {"type": "string", "minLength": 1},
                    },
                },
            },
            "max_tokens": {"type": "integer", "minimum": 1, "description": "The longest answer to pay for."},
        },
        "example": {"prompt": "Name three ledgers older than paper.", "max_tokens": 60},
    },
    "ChatAnswer": {
        "type": "object",
        "properties": {
            "answer": {"type": "string"},
            "model": {"type": "string"},
            "finish_reason": {"type": "string", "description": "`length` when max_tokens cut the answer."},
            "usage": {
                "type": "object",
                "properties": {"input_tokens": {"type": "integer"}, "output_tokens": {"type": "integer"}},
            },
            "payment_id": {"type": "string"},
            "price_version": {"type": "integer"},
            "quoted_micro_usdc": MICRO_USDC,
            "charged_micro_usdc": MICRO_USDC,
            "change_micro_usdc": MICRO_USDC,
        },
    },
    "Quote": {
        "type": "object",
        "properties": {
            "quote_id": {"type": "string"},
            "max_cost_micro_usdc": MICRO_USDC,
            "price_version": {"type": "integer"},
            "expires_at": {"type": "string", "format": "date-time"},
            "terms": {"type": "object", "description": "x402 version 2 PaymentRequired: sign one of `accepts`."},
        },
    },
}


class BearerScheme(OpenApiAuthenticationExtension):
    """How a bearer session appears in the document."""

    target_class = "accounts.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> Json:
        """A token of /api/v1/auth/verify."""
        return {"type": "http", "scheme": "bearer", "description": "A token of POST /api/v1/auth/verify."}


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """How an API key appears in the document."""

    target_class = "accounts.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> Json:
        """A key of /api/v1/keys."""
        return {"type": "http", "scheme": "bearer", "description": "An API key (`dk_…`) of POST /api/v1/keys."}


class SchemaView(SpectacularAPIView):
    """`GET /api/schema/`: the document, for everyone."""

    authentication_classes = ()


def add_paid_operations(result: Json, **_generator: Any) -> Json:
    """Add the paid operations, the problem schema, and a problem answer to every operation. Changes `result`."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(SCHEMAS | PURCHASE_SCHEMAS | OPENAI_SCHEMAS | AGENT_SCHEMAS)
    paths = result.setdefault("paths", {})
    paths["/api/v1/x402/invoke"] = {"post": _invoke("invoke", "Buy an answer")}
    paths["/api/v1/pay/chat"] = {"post": _invoke("pay_chat", "Buy an answer (another name of invoke)")}
    paths["/api/v1/x402/quote"] = {"post": _quote()}
    paths |= openai_paths(_paid)
    paths["/api/v1/agent/chat"] = {"post": agent_operation(_paid)}
    paths["/api/v1/credits/purchase"] = {"post": purchase_operation(_problem)}
    for operations in paths.values():
        for operation in operations.values():
            if operation.get("operationId") in PROVEN_OTHERWISE:
                operation["security"] = [{}, *operation.get("security", [])]
            operation.setdefault("responses", {}).setdefault("default", _problem("What went wrong, and what to do."))
    result["paths"] = dict(sorted(paths.items()))
    return result


def _invoke(operation_id: str, summary: str) -> Json:
    responses: Json = {
        "200": {
            "description": "The answer. PAYMENT-RESPONSE (or X-PAYMENT-RESPONSE) holds the settlement and the change.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatAnswer"}}},
        }
    }
    return _paid(operation_id, summary, responses)


def _paid(operation_id: str, summary: str, responses: Json) -> Json:
    """A paid chat with these answers, and everything that can go wrong with one."""
    return _chat_operation(operation_id, summary, responses | {code: _problem(text) for code, text in REFUSALS.items()})


def _quote() -> Json:
    responses: Json = {
        "200": {
            "description": "The price of this request, valid until `expires_at`.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Quote"}}},
        }
    }
    refusals = {code: _problem(REFUSALS[code]) for code in ("400", "413", "415", "422", "429")}
    operation = _chat_operation("quote", "Price a request without paying", responses | refusals)
    del operation["parameters"]
    return operation


def _chat_operation(operation_id: str, summary: str, responses: Json) -> Json:
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["x402"],
        "parameters": [
            {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
            for name, text in PAYMENT_HEADERS
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatRequest"}}},
        },
        "security": [{}, {"bearer": []}, {"apiKey": []}],
        "responses": responses,
    }


def _problem(description: str) -> Json:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
