"""The terms we offer, in both protocol versions, and the rule that says whether a payer accepted them.

Never a null on the wire: the published version 1 client rejects a whole challenge that holds one. Amounts are decimal
strings there and integers of the asset's atomic unit here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from x402.protocol.errors import PaymentRefused
from x402.protocol.networks import caip2_of, chain_id_of, v1_name_to_emit
from x402.protocol.payload import AcceptedTerms, read_address
from x402.protocol.strict_json import JsonObject, JsonValue

MAX_SERVICE_NAME: Final = 32
MAX_TAGS: Final = 5


@dataclass(frozen=True, slots=True)
class Resource:
    """What is sold. `url` is built from the configured origin, never from a Host header."""

    url: str
    description: str = ""
    mime_type: str = ""
    service_name: str = ""
    tags: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        """The version 2 `resource` object, empty facts left out."""
        facts: JsonObject = {"url": self.url}
        if self.description:
            facts["description"] = self.description
        if self.mime_type:
            facts["mimeType"] = self.mime_type
        if self.service_name:
            facts["serviceName"] = self.service_name[:MAX_SERVICE_NAME]
        if self.tags:
            facts["tags"] = [tag[:MAX_SERVICE_NAME] for tag in self.tags[:MAX_TAGS]]
        return facts


@dataclass(frozen=True, slots=True)
class Requirements:
    """One way to pay: `amount` of `asset` to `pay_to` on `network` (CAIP-2), under `scheme`.

    `extra` holds the token's EIP-712 `name` and `version`, and whatever the payer shall echo (the quote).
    """

    scheme: str
    network: str
    asset: str
    amount: int
    pay_to: str
    max_timeout_seconds: int
    extra: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def asset_bytes(self) -> bytes:
        return bytes.fromhex(self.asset[2:])

    @property
    def pay_to_bytes(self) -> bytes:
        return bytes.fromhex(self.pay_to[2:])

    @property
    def chain_id(self) -> int:
        return chain_id_of(self.network)

    def to_v2(self) -> JsonObject:
        """The version 2 PaymentRequirements object."""
        return {
            "scheme": self.scheme,
            "network": self.network,
            "asset": self.asset,
            "amount": str(self.amount),
            "payTo": self.pay_to,
            "maxTimeoutSeconds": self.max_timeout_seconds,
            "extra": dict(self.extra),
        }

    def to_v1(self, resource: Resource) -> JsonObject | None:
        """The version 1 item of `accepts`, or None when version 1 clients cannot pay this way.

        Its client knows `exact` by EIP-3009 on a closed list of networks, and needs description and MIME type.
        """
        network = v1_name_to_emit(self.network)
        if network is None or self.scheme != "exact" or self.extra.get("assetTransferMethod", "eip3009") != "eip3009":
            return None
        return {
            "scheme": self.scheme,
            "network": network,
            "maxAmountRequired": str(self.amount),
            "resource": resource.url,
            "description": resource.description,
            "mimeType": resource.mime_type or "application/json",
            "payTo": self.pay_to,
            "maxTimeoutSeconds": self.max_timeout_seconds,
            "asset": self.asset,
            "extra": dict(self.extra),
        }


def payment_required_v2(
    accepts: Sequence[Requirements],
    *,
    resource: Resource,
    error: str = "",
    extensions: Mapping[str, JsonValue] | None = None,
) -> JsonObject:
    """The document of the PAYMENT-REQUIRED header. Source: x402 v2, PaymentRequired."""
    document: JsonObject = {"x402Version": 2}
    if error:
        document["error"] = error
    document["resource"] = resource.to_json()
    document["accepts"] = [requirements.to_v2() for requirements in accepts]
    if extensions:
        document["extensions"] = dict(extensions)
    return document


def payment_required_v1(accepts: Sequence[Requirements], *, resource: Resource, error: str) -> JsonObject:
    """The members a version 1 client reads from the body of a 402. Source: x402 v1, PaymentRequirementsResponse."""
    items = [item for requirements in accepts if (item := requirements.to_v1(resource)) is not None]
    return {"x402Version": 1, "error": error, "accepts": list[JsonValue](items)}


def require_accepted(requirements: Requirements, accepted: AcceptedTerms) -> None:
    """Refuse a payment whose `accepted` terms are not the ones we offer.

    Every fact must be equal and our `extra` a subset of theirs; addresses are compared as bytes, because letter case
    is only a checksum. Raises PaymentRefused with the specification's reason. Source: x402 v2, matching rule.
    """
    if accepted.scheme != requirements.scheme:
        raise PaymentRefused("unsupported_scheme", f"the offer is {requirements.scheme}")
    if caip2_of(accepted.network) != requirements.network:
        raise PaymentRefused("invalid_network", f"the offer is on {requirements.network}")
    if accepted.amount != requirements.amount:
        raise _mismatch("amount")
    for name, theirs, ours in (
        ("asset", accepted.asset, requirements.asset),
        ("payTo", accepted.pay_to, requirements.pay_to),
    ):
        if theirs != ours and read_address(theirs, f"accepted.{name}") != bytes.fromhex(ours[2:]):
            raise _mismatch(name)
    if accepted.max_timeout_seconds != requirements.max_timeout_seconds:
        raise _mismatch("maxTimeoutSeconds")
    for name, value in requirements.extra.items():
        if name not in accepted.extra or not is_same_json(accepted.extra[name], value):
            raise _mismatch(f"extra.{name}")


def is_same_json(left: JsonValue, right: JsonValue) -> bool:
    """Equality of JSON values, in which `true` is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_same_json(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_same_json, left, right))
    return left == right


def require_extension_echo(advertised: Mapping[str, JsonValue], echoed: Mapping[str, JsonValue]) -> None:
    """Refuse an echoed extension whose `info` lost or changed what we said; leaving an extension out is allowed.

    Raises PaymentRefused(extension_echo_mismatch). Source: x402 v2, extensions.
    """
    for name, extension in advertised.items():
        if name not in echoed:
            continue
        ours, theirs = _info_of(extension), _info_of(echoed[name])
        if any(fact not in theirs or not is_same_json(theirs[fact], value) for fact, value in ours.items()):
            raise PaymentRefused("extension_echo_mismatch", f"extension {name} was changed")


def _info_of(extension: JsonValue) -> JsonObject:
    info = extension.get("info") if isinstance(extension, dict) else None
    return info if isinstance(info, dict) else {}


def _mismatch(name: str) -> PaymentRefused:
    return PaymentRefused("invalid_payment_requirements", f"accepted.{name} is not what this resource offers")
