"""The HTTP side of a remote facilitator: one payment in, what it said out. Source: x402 v1 and v2, facilitator.

What it says is a hint (R17). The caller learns how far the question got: nothing was sent, an answer came that can be
read, or the outcome is unknown. Redirects are not followed and the host is the one the settings name.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from outbound import errors, http
from telemetry.configuration import loa
from x402.chain.network_settings import Asset, Network
from x402.facilitators.due_payments import DuePayment
from x402.models import RemoteOutcome
from x402.protocol.eip712 import checksum_address
from x402.protocol.payload import Authorization
from x402.protocol.requirements import Requirements, Resource
from x402.protocol.strict_json import InvalidJson, JsonObject, JsonValue, parse_object

PURPOSE: Final = "facilitator"
ANSWER_BYTES_MAX: Final = 64 * 1024
SUPPORTED_SECONDS: Final = 300.0  # how long a facilitator's list of kinds is believed
SUPPORTED_TIMEOUT_SECONDS: Final = 5.0
REASON_CHARACTERS: Final = 128
_HASH_CHARACTERS: Final = 66


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking to settle one payment. `is_fault` says that it speaks against the facilitator."""

    outcome: RemoteOutcome
    transaction: str = ""
    reason: str = ""
    is_fault: bool = False


class RemoteClient:
    """Asks one facilitator. Thread-safe; holds no database connection."""

    def __init__(self, url: str, *, token: str = "", timeout_seconds: float = 30.0) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_seconds = timeout_seconds
        self._kinds: frozenset[tuple[int, str, str]] = frozenset()
        self._kinds_until = 0.0

    @property
    def url(self) -> str:
        return self._url

    def settle(self, due: DuePayment, *, network: Network) -> Answer:
        """Ask the facilitator to settle this payment, and wait for what it says. Never raises."""
        asset = network.asset_at(due.asset)
        if asset is None or not isinstance(due.authorization, Authorization):
            return Answer(RemoteOutcome.NOTHING_SENT, reason="unsupported_scheme")
        try:
            version = self._version_for(network)
            if version is None:
                return Answer(RemoteOutcome.NOTHING_SENT, reason="unsupported_network")
            body = settle_body(due.authorization, network=network, asset=asset, version=version)
            response = self._post("/settle", body)
        except errors.NothingSent as failure:
            return Answer(RemoteOutcome.NOTHING_SENT, reason=failure.code, is_fault=True)
        except errors.OutboundError as failure:
            return Answer(RemoteOutcome.UNKNOWN, reason=failure.code, is_fault=True)
        return _answer_of(response)

    def _post(self, path: str, document: JsonObject) -> http.OutboundResponse:
        return http.send(
            http.OutboundRequest(
                "POST",
                self._url + path,
                headers=self._headers,
                body=json.dumps(document, separators=(",", ":")).encode(),
                purpose=PURPOSE,
                read_timeout_seconds=self._timeout_seconds,
                total_timeout_seconds=self._timeout_seconds,
                response_bytes_max=ANSWER_BYTES_MAX,
            )
        )

    def _version_for(self, network: Network) -> int | None:
        """The newest protocol version this facilitator settles `exact` in on that network.

        One that lists nothing readable is asked in version 2. Raises NothingSent when it cannot be asked at all: no
        payment has left then, however far the question got.
        """
        if time.monotonic() > self._kinds_until:
            self._kinds = self._supported()
            self._kinds_until = time.monotonic() + SUPPORTED_SECONDS
        if not self._kinds:
            return 2
        if (2, "exact", network.caip2) in self._kinds or (2, "exact", "eip155:*") in self._kinds:
            return 2
        return 1 if network.v1_name and (1, "exact", network.v1_name) in self._kinds else None

    def _supported(self) -> frozenset[tuple[int, str, str]]:
        request = http.OutboundRequest(
            "GET",
            self._url + "/supported",
            headers=self._headers,
            purpose=PURPOSE,
            read_timeout_seconds=SUPPORTED_TIMEOUT_SECONDS,
            total_timeout_seconds=SUPPORTED_TIMEOUT_SECONDS,
            response_bytes_max=ANSWER_BYTES_MAX,
        )
        try:
            response = http.send(request)
        except errors.OutcomeUnknown as failure:
            raise errors.NothingSent(failure.reason, host=failure.host) from failure
        kinds = _object(response.body).get("kinds") if response.status == 200 else None
        if not isinstance(kinds, list):
            return frozenset()
        return frozenset(
            (version, str(kind.get("scheme")), str(kind.get("network")))
            for kind in kinds
            if isinstance(kind, dict) and isinstance(version := kind.get("x402Version"), int)
        )


def settle_body(authorization: Authorization, *, network: Network, asset: Asset, version: int) -> JsonObject:
    """The body of /verify and /settle for this authorization. Source: x402 v1 §7, v2 §7."""
    requirements = Requirements(
        scheme="exact",
        network=network.caip2,
        asset=asset.address,
        amount=authorization.value,
        pay_to=checksum_address(authorization.to),
        max_timeout_seconds=60,
        extra={"name": asset.name, "version": asset.version},
    )
    signed: JsonObject = {
        "signature": "0x" + authorization.signature.hex(),
        "authorization": {
            "from": checksum_address(authorization.from_),
            "to": checksum_address(authorization.to),
            "value": str(authorization.value),
            "validAfter": str(authorization.valid_after),
            "validBefore": str(authorization.valid_before),
            "nonce": "0x" + authorization.nonce.hex(),
        },
    }
    if version == 2:
        terms: JsonValue = requirements.to_v2()
        payment: JsonObject = {"x402Version": 2, "payload": signed, "accepted": terms}
    else:
        terms = requirements.to_v1(Resource(url=loa("PUBLIC_ORIGIN")))
        payment = {"x402Version": 1, "scheme": "exact", "network": network.v1_name, "payload": signed}
    return {"x402Version": version, "paymentPayload": payment, "paymentRequirements": terms}


def _answer_of(response: http.OutboundResponse) -> Answer:
    document = _object(response.body)
    success, transaction = document.get("success"), _hash(document.get("transaction"))
    reason = str(document.get("errorReason") or "")[:REASON_CHARACTERS]
    if success is True and response.status == 200:
        return Answer(RemoteOutcome.CLAIMED, transaction=transaction, reason=reason)
    if success is False and response.status < 500:
        if transaction:  # something was sent: "pending", or mined and failed
            return Answer(RemoteOutcome.UNKNOWN, transaction=transaction, reason=reason)
        return Answer(RemoteOutcome.REFUSED, reason=reason)
    return Answer(RemoteOutcome.UNKNOWN, transaction=transaction, reason=f"http_{response.status}", is_fault=True)


def _hash(value: JsonValue) -> str:
    if not isinstance(value, str) or len(value) != _HASH_CHARACTERS or not value.startswith("0x"):
        return ""
    try:
        int(value, 16)
    except ValueError:
        return ""
    return value.lower()


def _object(body: bytes) -> Mapping[str, JsonValue]:
    try:
        return parse_object(body, max_bytes=ANSWER_BYTES_MAX)
    except InvalidJson:
        return {}
