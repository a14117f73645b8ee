"""What a settlement and a verification say on the wire. Absent facts are left out; `transaction` is never absent."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from x402.protocol.networks import v1_name_of
from x402.protocol.strict_json import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class SettleResponse:
    """The receipt in PAYMENT-RESPONSE (v2) and X-PAYMENT-RESPONSE (v1). `amount` in the asset's atomic unit."""

    success: bool
    network: str
    transaction: str = ""
    payer: str = ""
    amount: int | None = None
    error_reason: str = ""
    error_message: str = ""
    extensions: Mapping[str, JsonValue] = field(default_factory=dict)

    def to_v2(self) -> JsonObject:
        """Source: x402 v2, SettlementResponse."""
        document = self._common(self.network)
        if self.amount is not None:
            document["amount"] = str(self.amount)
        if self.error_message:
            document["errorMessage"] = self.error_message
        if self.extensions:
            document["extensions"] = dict(self.extensions)
        return document

    def to_v1(self) -> JsonObject:
        """Source: x402 v1, SettlementResponse; its network is the version 1 name where there is one."""
        return self._common(v1_name_of(self.network) or self.network)

    def _common(self, network: str) -> JsonObject:
        document: JsonObject = {"success": self.success, "transaction": self.transaction, "network": network}
        if self.payer:
            document["payer"] = self.payer
        if self.error_reason:
            document["errorReason"] = self.error_reason
        return document


@dataclass(frozen=True, slots=True)
class VerifyResponse:
    """A facilitator's answer to /verify, the same in both versions."""

    is_valid: bool
    payer: str = ""
    invalid_reason: str = ""
    invalid_message: str = ""

    def to_json(self) -> JsonObject:
        """Source: x402 v2, VerifyResponse."""
        document: JsonObject = {"isValid": self.is_valid}
        if self.invalid_reason:
            document["invalidReason"] = self.invalid_reason
        if self.invalid_message:
            document["invalidMessage"] = self.invalid_message
        if self.payer:
            document["payer"] = self.payer
        return document
