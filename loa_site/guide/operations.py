"""The OpenAPI document as rows for a page: operations by tag, schemas by name. Plain Python."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from loa_site.guide.samples import sample_of

METHODS: Final = ("get", "post", "put", "patch", "delete")
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter or a property."""

    name: str
    kind: str
    text: str
    is_required: bool
    reference: str = ""
    place: str = ""  # of a parameter: path, query or header


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation may answer."""

    status: str
    text: str
    reference: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one path."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Field]
    body: str
    sample: Any  # a body to begin with, or None where none is taken
    answers: list[Answer]


@dataclass(frozen=True, slots=True)
class Schema:
    """A named object."""

    name: str
    text: str
    fields: list[Field]


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole reference."""

    title: str
    version: str
    tags: list[tuple[str, list[Operation]]]
    schemas: list[Schema]


def reference_of(document: Json) -> Reference:
    """The page's rows of an OpenAPI 3.1 document."""
    tags: dict[str, list[Operation]] = {}
    components = document["components"].get("schemas", {})
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                operation = operations[method]
                tag = (operation.get("tags") or ["other"])[0]
                tags.setdefault(tag, []).append(_operation(method, path, operation, components))
    schemas = [_schema(name, schema) for name, schema in sorted(components.items())]
    return Reference(document["info"]["title"], document["info"]["version"], sorted(tags.items()), schemas)


def _operation(method: str, path: str, operation: Json, components: Json) -> Operation:
    taken = _content(operation.get("requestBody", {}))
    answers = [
        Answer(status, answer.get("description", ""), _reference(_content(answer)))
        for status, answer in operation.get("responses", {}).items()
    ]
    return Operation(
        anchor=f"operation-{operation.get('operationId', method + path)}",
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=[_parameter(one) for one in operation.get("parameters", [])],
        body=_reference(taken),
        sample=sample_of(taken, components) if taken else None,
        answers=answers,
    )


def _parameter(parameter: Json) -> Field:
    place = parameter.get("in", "")
    kind = f"{place}, {_kind(parameter.get('schema', {}))}"
    is_required = bool(parameter.get("required"))
    return Field(parameter["name"], kind, parameter.get("description", ""), is_required, place=place)


def _schema(name: str, schema: Json) -> Schema:
    required = set(schema.get("required", []))
    fields = [
        Field(field, _kind(facts), facts.get("description", ""), field in required, _reference(facts))
        for field, facts in schema.get("properties", {}).items()
    ]
    values = schema.get("enum")
    text = schema.get("description", "") or (f"One of {', '.join(map(str, values))}." if values else "")
    return Schema(name, text, fields)


def _content(holder: Json) -> Json:
    for media in holder.get("content", {}).values():
        found: Json = media.get("schema", {})
        return found
    return {}


def _reference(schema: Json) -> str:
    """The name of the schema a schema points to, also inside a list or a choice."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for inner in (schema.get("items"), *schema.get("allOf", []), *schema.get("oneOf", []), *schema.get("anyOf", [])):
        if isinstance(inner, Mapping) and (name := _reference(inner)):
            return name
    return ""


def _kind(schema: Json) -> str:
    kind = schema.get("type", "")
    if isinstance(kind, list):
        return " or ".join(map(str, kind))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {})) or 'objects'}"
    return str(schema.get("format") or kind or ("object" if _reference(schema) else "any"))
