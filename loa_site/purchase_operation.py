"""The purchase of prepaid credit in the OpenAPI document: a plain view under the paywall, so it is written here."""

from collections.abc import Callable
from typing import Any, Final

Json = dict[str, Any]

HEADERS: Final = (
    ("Idempotency-Key", True, "16 to 128 letters, digits, - or _. It names one purchase of the account, for good."),
    ("PAYMENT-SIGNATURE", False, "A signed payment, protocol version 2. Without one the answer is 402 with terms."),
    ("X-PAYMENT", False, "A signed payment, protocol version 1. Never together with PAYMENT-SIGNATURE."),
)
REFUSALS: Final = {
    "400": "The Idempotency-Key is missing, or a payment header or the body cannot be read.",
    "401": "The bearer token does not hold.",
    "402": "The terms: what the pack costs and how to pay, in PAYMENT-REQUIRED and in the body.",
    "403": "An API key cannot buy; name it as `key_id` and leave it out of the headers.",
    "409": "The purchase of this Idempotency-Key is on its way, or the payment belongs to another request.",
    "422": "There is no such pack or key, or the Idempotency-Key named another purchase.",
    "429": "Too many requests.",
    "503": "The payment is being settled: send the same payload again after Retry-After.",
}
SCHEMAS: Final[Json] = {
    "PurchaseRequest": {
        "type": "object",
        "required": ["pack"],
        "additionalProperties": False,
        "properties": {
            "pack": {"type": "integer", "enum": [500, 1000, 2500], "description": "Credit units; 100 are one dollar."},
            "key_id": {
                "type": "string",
                "description": "The API key whose account is credited; without it, who is signed in, else who pays.",
            },
        },
        "example": {"pack": 500},
    },
    "PurchaseAnswer": {
        "type": "object",
        "properties": {
            "payment_id": {"type": "string"},
            "status": {"type": "string", "enum": ["minted"]},
            "pack": {"type": "integer"},
            "credited_micro_usd": {"type": "string", "description": "MicroUSD, in decimal."},
            "paid_micro_usdc": {"type": "string", "description": "MicroUSDC, in decimal."},
            "transaction": {"type": "string"},
        },
    },
}


def purchase_operation(problem: Callable[[str], Json]) -> Json:
    """`POST /api/v1/credits/purchase`."""
    answer: Json = {
        "description": "The credit is in the account. Asking again under the same Idempotency-Key answers the same.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PurchaseAnswer"}}},
    }
    return {
        "operationId": "credits_purchase",
        "summary": "Buy prepaid credit for API keys",
        "description": "Paid by x402. Bought credit is spent by the account's API keys; it is not refunded.",
        "tags": ["credits"],
        "parameters": [
            {"name": name, "in": "header", "required": required, "description": text, "schema": {"type": "string"}}
            for name, required, text in HEADERS
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PurchaseRequest"}}},
        },
        "security": [{}, {"bearer": []}],
        "responses": {"200": answer} | {code: problem(text) for code, text in REFUSALS.items()},
    }
