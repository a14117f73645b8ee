"""Buying prepaid credit: a pack, paid by x402, credited to an account in the journal that books the money.

The purchase is a payment like any other, with the credit it buys in its row. Its settlement mints that credit, so that
there is no moment at which the buyer has paid and has nothing (`credit_mint`: USDC to the treasury, MicroUSD to the
account, joined by their exchange account). What comes after is only the answer. The buyer's `Idempotency-Key` names one
purchase of an account for good, whichever payment carries it. Bought credit is spent by keys and is not refunded.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from accounts.models import ApiKey
from accounts.services.account_of_wallet import account_id_of_wallet
from accounts.services.errors import AccountsError
from billing.services import finalization
from telemetry.configuration import MICRO_USD_PER_CREDIT_UNIT
from x402.models import Payment, PaymentState
from x402.pricing import PricedRequest, Quotation
from x402.protocol.errors import MalformedPayment, UnpriceableRequest
from x402.protocol.strict_json import JsonObject
from x402.services.answers import Answer

PACKS_CREDIT_UNITS: Final = (500, 1_000, 2_500)
MICRO_USDC_PER_MICRO_USD: Final = 1  # a pack costs what it holds, in a dollar's token; nothing is left to round
PATH: Final = "/api/v1/credits/purchase"
_FIELDS: Final = frozenset({"pack", "key_id"})


class PurchaseRefused(AccountsError):
    """Raised when an API key tries to buy: it would be a payment and a key at once."""

    code = "forbidden"


@dataclass(frozen=True, slots=True)
class Purchase:
    """What is bought and for whom; `account_id` is empty for the account of whoever pays. Units: MicroUSD."""

    account_id: str
    minted_micro_usd: int
    key_hash: str

    def account_for(self, payer: str) -> str:
        """The account that is credited."""
        return self.account_id or account_id_of_wallet(payer)

    def key_for(self, account_id: str) -> str:
        """What makes this purchase happen once: the buyer's key, within the credited account."""
        return hashlib.sha256(f"{account_id}\n{self.key_hash}".encode()).hexdigest()


class PackPrice:
    """What a pack costs: the dollars it holds, one MicroUSDC for one MicroUSD."""

    def maximum(self, request: PricedRequest) -> Quotation:
        """The pack's price. Raises UnpriceableRequest."""
        pack, _ = order_of(request)
        cost = pack * MICRO_USD_PER_CREDIT_UNIT * MICRO_USDC_PER_MICRO_USD
        return Quotation(max_cost_micro_usdc=cost, price_version=0, description=f"{pack} credit units")

    def maximum_at(self, request: PricedRequest, price_version: int) -> Quotation | None:
        """The same: packs have one price."""
        return self.maximum(request) if price_version == 0 else None


def order_of(request: PricedRequest) -> tuple[int, str]:
    """The pack in credit units and the id of the key to credit, if one is named. Raises UnpriceableRequest (422)."""
    document = request.json
    if not isinstance(document, dict) or not set(document) <= _FIELDS:
        raise UnpriceableRequest("invalid_parameters", "Send a JSON object with pack and, if you like, key_id.")
    pack, key_id = document.get("pack"), document.get("key_id", "")
    if isinstance(pack, bool) or not isinstance(pack, int) or pack not in PACKS_CREDIT_UNITS:
        packs = ", ".join(str(one) for one in PACKS_CREDIT_UNITS)
        raise UnpriceableRequest("invalid_parameters", f"pack is one of {packs} credit units.", field="pack")
    if not isinstance(key_id, str) or len(key_id) > 40 or not key_id.isascii() or not key_id.isprintable():
        raise UnpriceableRequest("invalid_parameters", "key_id is the id of an API key.", field="key_id")
    return pack, key_id


def purchase_of(priced: PricedRequest, *, account_id: str, key_hash: str, is_by_key: bool) -> Purchase:
    """What this request buys and for whom: the account of the key it names, of who is signed in, or of who pays.

    Raises PurchaseRefused (403), MalformedPayment (400) without an Idempotency-Key, UnpriceableRequest (422).
    """
    if is_by_key:
        raise PurchaseRefused("An API key cannot buy credit. Name it as key_id and pay by x402, without the key.")
    if not key_hash:
        raise MalformedPayment("idempotency_key_required", "A purchase needs the header Idempotency-Key.")
    pack, key_id = order_of(priced)
    if key_id:
        # A revoked key still names its account: what was paid for it must be found again by a retry (R19).
        owner = ApiKey.objects.filter(pk=key_id).values_list("account_id", flat=True).first()
        if owner is None:
            raise UnpriceableRequest("invalid_parameters", "There is no API key of this id to credit.", field="key_id")
        account_id = owner
    return Purchase(account_id, pack * MICRO_USD_PER_CREDIT_UNIT, key_hash)


def earlier(purchase: Purchase, *, payer: str = "") -> Payment | None:
    """The purchase made before under this key, if any; one whose payment died does not count."""
    if not purchase.account_id and not payer:
        return None
    key = purchase.key_for(purchase.account_for(payer))
    return Payment.objects.filter(purchase_key=key).exclude(state=PaymentState.DEAD).first()


def answer_of(payment: Payment) -> JsonObject:
    """What a buyer is told; it follows from the row, so that it can be told again."""
    return {
        "payment_id": payment.pk,
        "status": "minted",
        "pack": payment.minted_micro_usd // MICRO_USD_PER_CREDIT_UNIT,
        "credited_micro_usd": str(payment.minted_micro_usd),
        "paid_micro_usdc": str(payment.amount_micro_usdc),
        "transaction": payment.transaction_hash,
    }


def stored_answer(payment: Payment) -> Answer:
    """The same as an answer to keep, for a purchase whose buyer did not wait."""
    body = json.dumps(answer_of(payment)).encode()
    return Answer(status=200, headers={"Content-Type": "application/json"}, body=body)


def close(payment: Payment, *, attempt: int) -> None:
    """The money was booked with its settlement: only the row's end is. Raises LostLease."""
    finalization.close_minted(
        payment_id=payment.pk,
        from_state=payment.state,
        attempt=attempt,
        charged_micro_usdc=payment.amount_micro_usdc,
        correlation_id=payment.correlation_id,
    )
