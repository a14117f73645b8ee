"""A body to begin with, for each operation that takes one: what its schema wants, with words a person would send.

Plain Python. A sample is a start for typing, not a promise that it is accepted.
"""

from collections.abc import Mapping
from typing import Any, Final

Json = Mapping[str, Any]

DEPTH_MAX: Final = 6
FIELDS_WITHOUT_REQUIRED: Final = 3  # how many are shown of an object that requires none
EMPTY: Final[dict[str, Any]] = {"string": "", "integer": 1, "number": 1, "boolean": False, "null": None}
# What some fields usually hold, whatever their schema says.
USUAL: Final[dict[str, Any]] = {
    "model": "loa-demo",
    "prompt": "Name three ledgers older than paper.",
    "content": "Name three ledgers older than paper.",
    "max_tokens": 60,
}


def sample_of(schema: Json, schemas: Json, *, name: str = "", depth: int = 0) -> Any:
    """A value that a schema describes.

    >>> sample_of({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}, {})
    {'n': 1}
    """
    if name in USUAL:
        return USUAL[name]
    for word in ("example", "default", "const"):
        if word in schema:
            return schema[word]
    if schema.get("enum"):
        return schema["enum"][0]
    if depth >= DEPTH_MAX:
        return None
    if "$ref" in schema:
        named = schemas.get(str(schema["$ref"]).rpartition("/")[2], {})
        return sample_of(named, schemas, depth=depth + 1)
    for word in ("allOf", "oneOf", "anyOf"):
        if schema.get(word):
            return sample_of(schema[word][0], schemas, depth=depth + 1)
    return _by_kind(schema, schemas, depth=depth)


def _by_kind(schema: Json, schemas: Json, *, depth: int) -> Any:
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [sample_of(schema.get("items", {}), schemas, depth=depth + 1)]
    if kind == "object":
        fields = schema.get("properties", {})
        shown = schema.get("required") or list(fields)[:FIELDS_WITHOUT_REQUIRED]
        return {
            field: sample_of(fields[field], schemas, name=field, depth=depth + 1) for field in shown if field in fields
        }
    return schema.get("minimum", EMPTY.get(kind))
