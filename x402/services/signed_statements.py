"""Offers and receipts under our signature, so that a payer can show someone else what was promised and what was paid.

The key is `RECEIPT_KEY`, in a file or in KMS, else the relayer's. A receipt says network, resource, payer, time and
transaction and nothing else. Source: x402 extension offer-receipt.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from telemetry.configuration import loa
from x402.chain.signers import signer_of
from x402.chain.transactions import Signer
from x402.protocol import offer_receipt
from x402.protocol.requirements import Requirements
from x402.protocol.strict_json import JsonObject, JsonValue

VERSION: Final = offer_receipt.VERSION
OFFER_SECONDS: Final = 10  # offers that end within the same so many seconds end together, and are signed once


def statement_signer() -> Signer:
    """Who signs our offers and receipts now."""
    return signer_of(loa("RECEIPT_KEY") or loa("RELAYER_PRIVATE_KEY"))


def signer_addresses() -> tuple[str, ...]:
    """Whose signatures are ours: the active key's, then those of retired ones."""
    return (statement_signer().address, *loa("RECEIPT_KEYS_RETIRED"))


def offers_extension(accepts: Sequence[Requirements], *, resource_url: str, valid_until: int) -> JsonObject | None:
    """The first offers of a 402, signed; None where none are to be. Units: Unix seconds.

    An offer ends up to `OFFER_SECONDS` before its quote does, so that many requests for the same thing share one
    signature, which costs a tenth of a 402, or a call of KMS.
    """
    count = loa("SIGNED_OFFERS")
    if not count or not (loa("RECEIPT_KEY") or loa("RELAYER_PRIVATE_KEY")):
        return None
    offers: list[JsonValue] = [
        _signed_offer(
            terms, index=index, resource_url=resource_url, valid_until=valid_until - valid_until % OFFER_SECONDS
        )
        for index, terms in enumerate(accepts[:count])
    ]
    return {"info": {"offers": offers}}


def _signed_offer(terms: Requirements, *, index: int, resource_url: str, valid_until: int) -> JsonObject:
    payload: JsonObject = {
        "version": VERSION,
        "resourceUrl": resource_url,
        "scheme": terms.scheme,
        "network": terms.network,
        "asset": terms.asset,
        "payTo": terms.pay_to,
        "amount": str(terms.amount),
        "validUntil": valid_until,
    }
    signature = _signature_under(tuple(payload.items()), statement_signer())
    return offer_receipt.signed(payload, signature, acceptIndex=index)


@lru_cache(maxsize=2_048)
def _signature_under(offer: tuple[tuple[str, JsonValue], ...], signer: Signer) -> bytes:
    return signer.sign_digest(offer_receipt.offer_digest(dict(offer)))


def receipt(*, network: str, resource_url: str, payer: str, issued_at: int, transaction: str) -> JsonObject:
    """A signed receipt as the extension writes it. Units: Unix seconds."""
    payload: JsonObject = {
        "version": VERSION,
        "network": network,
        "resourceUrl": resource_url,
        "payer": payer,
        "issuedAt": issued_at,
        "transaction": transaction,
    }
    return offer_receipt.signed(payload, statement_signer().sign_digest(offer_receipt.receipt_digest(payload)))


def receipt_extension(signed: JsonObject) -> JsonObject:
    """A receipt in its place in the extensions of a settlement."""
    return {"info": {"receipt": signed}}
