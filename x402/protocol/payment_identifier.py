"""The extension `payment-identifier`: a name that a client gives its purchase, so that it is bought once.

We offer it in every 402 and require it nowhere. A client adds its `id` to the `info` it echoes; whoever shows the same
id again is the same client (R1). Source: x402 extension payment-identifier.
"""

import re
from typing import Final

from x402.protocol.strict_json import JsonObject

EXTENSION: Final = "payment-identifier"
SHORTEST, LONGEST = 16, 128
IDENTIFIER: Final = re.compile(rf"[a-zA-Z0-9_-]{{{SHORTEST},{LONGEST}}}", re.ASCII)


def declaration() -> JsonObject:
    """The extension as a 402 declares it, with the schema that clients check their own `info` by.

    It says what the official one does in fewer words: the header has 4 KiB for all.
    """
    return {
        "info": {"required": False},
        "schema": {
            "type": "object",
            "properties": {
                "required": {"type": "boolean"},
                "id": {"type": "string", "pattern": f"^[a-zA-Z0-9_-]{{{SHORTEST},{LONGEST}}}$"},
            },
            "required": ["required"],
        },
    }
