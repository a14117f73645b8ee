"""A stand-in for hashicorp/aws where the real provider cannot be fetched: its attributes and their kinds, nothing else.

With it `terraform init`, `validate`, `test` and `plan` run offline. That proves names, wiring, types and our own rules;
it proves nothing about what AWS accepts. Runs in an environment of its own: the framework wants an older protobuf.
"""

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from tf import types
from tf.blocks import SetNestedBlock
from tf.iface import Provider, Resource
from tf.runner import run_provider
from tf.schema import Attribute, Block, Schema

SCHEMA = Path(__file__).with_name("schema.txt")


class Forgotten(types.String):
    """A text that is taken and not kept."""

    def decode(self, value):
        return None

    def semantically_equal(self, a_decoded, b_decoded) -> bool:
        return False


KINDS = {
    "text": types.String,
    "number": types.Number,
    "truth": types.Bool,
    "texts": lambda: types.List(types.String()),
    "textset": lambda: types.Set(types.String()),
    "secret": Forgotten,
    "map": lambda: types.Map(types.String()),
}
WRITE_ONLY = b"\x58\x01"  # field 11 of the protocol's attribute, which the framework does not know yet


class WriteOnly(Attribute):
    """An attribute whose value is sent and never kept."""

    def to_pb(self):
        message = super().to_pb()
        message.MergeFromString(WRITE_ONLY)
        return message


def read_schema() -> dict[str, tuple[list, list]]:
    """Attributes and blocks of each resource type."""
    lines = iter([line for line in SCHEMA.read_text().splitlines() if line.strip() and not line.startswith("#")])
    found, current = {}, None
    for line in lines:
        if not line.startswith(" "):
            current = found[line.strip()] = ([], [])
        else:
            read_line(line.split(), lines, into=current)
    return found


def read_line(words: list[str], lines: Iterator[str], into: tuple[list, list]) -> None:
    """One attribute, or a block with all its lines."""
    attributes, blocks = into
    if words[1] != "{":
        attributes.append(attribute(*words))
        return
    inner: tuple[list, list] = ([], [])
    for line in lines:
        if line.split() == ["}"]:
            break
        read_line(line.split(), lines, into=inner)
    blocks.append(SetNestedBlock(words[0], Block(attributes=inner[0], block_types=inner[1])))


def attribute(name: str, kind: str, mark: str = "") -> Attribute:
    """An attribute by its line."""
    make = WriteOnly if mark == "w" else Attribute
    return make(name, KINDS[kind](), required=mark == "!", optional=mark in ("", "w"), computed=mark == "=")


def resource_class(name: str, attributes: list, blocks: list) -> type:
    """A resource whose computed attributes are made up."""
    tagged = [*attributes]
    known = {one.name for one in attributes}
    tagged += [Attribute("id", types.String(), computed=True)] if "id" not in known else []
    tagged += [Attribute("tags", types.Map(types.String()), optional=True)] if "tags" not in known else []

    class Stub(Resource):
        def __init__(self, provider: Provider) -> None:
            self.provider = provider

        @classmethod
        def get_name(cls) -> str:
            return name.removeprefix("aws_")

        @classmethod
        def get_schema(cls) -> Schema:
            return Schema(attributes=tagged, block_types=blocks)

        def create(self, ctx, planned):
            made_up = {one.name: f"{name}-{uuid.uuid4()}" for one in tagged if one.computed}
            return planned | made_up

        def read(self, ctx, current):
            return current

        def update(self, ctx, current, planned):
            return planned

        def delete(self, ctx, current):
            return None

    return Stub


class StubOfAws(Provider):
    def get_model_prefix(self) -> str:
        return "aws_"

    def full_name(self) -> str:
        return ".".join(("registry", "terraform", "io")) + "/hashicorp/aws"

    def get_provider_schema(self, diags):
        settings = [
            Attribute("region", types.String(), optional=True),
            Attribute("allowed_account_ids", types.Set(types.String()), optional=True),
        ]
        tags = SetNestedBlock(
            "default_tags", Block(attributes=[Attribute("tags", types.Map(types.String()), optional=True)])
        )
        return Schema(attributes=settings, block_types=[tags])

    def validate_config(self, diags, config):
        return None

    def configure_provider(self, diags, config):
        return None

    def get_data_sources(self):
        return []

    def get_resources(self):
        return [resource_class(name, *parts) for name, parts in read_schema().items()]


if __name__ == "__main__":
    run_provider(StubOfAws(), sys.argv)
