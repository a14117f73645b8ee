"""What the payment endpoints answer. Amounts are MicroUSDC in decimal strings, times are UTC."""

from typing import Any

from rest_framework import serializers

from billing.selectors.credit_notes import Movement, Note
from x402.models import Payment, PaymentState
from x402.models.payment import Method

NEXT_STEP = {
    PaymentState.VERIFIED: "It is about to be settled. Send the same payload again to wait for the answer.",
    PaymentState.SETTLING: "It is being settled. Send the same payload again to wait for the answer.",
    PaymentState.SETTLEMENT_UNKNOWN: "Only the chain can tell. Send the same payload again; a new one could pay twice.",
    PaymentState.SETTLED: "It is paid and not yet served. Send the same payload again to get the answer.",
    PaymentState.SERVING: "The answer is being made. Send the same payload again to wait for it.",
    PaymentState.SERVED: "It was served. The payer's side gets the stored answer by sending the same payload again.",
    PaymentState.CREDITED: "The work failed. The whole amount is a credit note that does not expire.",
    PaymentState.REFUNDED: "The amount was paid back on the chain.",
    PaymentState.DEAD: "The authorization can no longer pay, and nothing was taken. Pay again.",
}


RELEASED = "The work failed and nothing was charged. Send the request again."


class PaymentStateSerializer(serializers.Serializer[Any]):
    """What whoever holds the id may know."""

    payment_id = serializers.CharField()
    state = serializers.ChoiceField(choices=PaymentState.choices)
    is_final = serializers.BooleanField()
    next_step = serializers.CharField()
    created_at = serializers.DateTimeField()


class PaymentSerializer(PaymentStateSerializer):
    """The state, and what only the payer's side may know. Units: MicroUSDC."""

    network = serializers.CharField(required=False)
    scheme = serializers.CharField(required=False)
    method = serializers.CharField(required=False, help_text="`api_key`: paid in MicroUSD of the prepaid balance.")
    payer = serializers.CharField(required=False)
    resource = serializers.CharField(required=False)
    quote_id = serializers.CharField(required=False)
    correlation_id = serializers.CharField(required=False)
    transaction = serializers.CharField(required=False)
    paid_micro_usdc = serializers.CharField(required=False, help_text="What was taken on the chain.")
    credit_applied_micro_usdc = serializers.CharField(required=False, help_text="What credit notes paid of it.")
    price_version = serializers.IntegerField(required=False)
    quoted_micro_usdc = serializers.CharField(required=False, help_text="The most the call could cost.")
    charged_micro_usdc = serializers.CharField(
        required=False, allow_null=True, help_text="What the call cost; null until served."
    )
    settled_at = serializers.DateTimeField(required=False, allow_null=True)
    served_at = serializers.DateTimeField(required=False, allow_null=True)
    failure_code = serializers.CharField(required=False, allow_blank=True)


class PaymentPageSerializer(serializers.Serializer[Any]):
    """A page of own payments, newest first."""

    payments = PaymentSerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class CreditNoteSerializer(serializers.Serializer[Any]):
    """A credit note. Kind `change` expires, kind `owed` never does."""

    id = serializers.CharField()
    kind = serializers.CharField()
    amount_micro_usdc = serializers.CharField()
    remaining_micro_usdc = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)


class ReceiptSerializer(serializers.Serializer[Any]):
    """A receipt: what was paid, charged and given back, where the chain and the ledger show it, and our signature."""

    payment = PaymentSerializer()
    credit_notes = CreditNoteSerializer(many=True)
    settlement = serializers.DictField(allow_null=True)
    journals = serializers.ListField(child=serializers.DictField())
    refunds = serializers.ListField(
        child=serializers.DictField(), help_text="What of its credit notes was paid out on the chain, or is being."
    )
    charge = serializers.DictField(help_text="What the charge was made of, in the endpoint's own words; may be empty.")
    issued_at = serializers.DateTimeField()
    signed = serializers.DictField()


class BalanceSerializer(serializers.Serializer[Any]):
    """A wallet's credit in one asset, and its account's prepaid balance for API keys. A key sees the latter alone."""

    wallet = serializers.CharField(allow_null=True)
    asset = serializers.CharField()
    spendable_micro_usdc = serializers.CharField()
    refundable_micro_usdc = serializers.CharField(help_text="What of it is final on the chain and can be paid out.")
    prepaid_micro_usd = serializers.CharField(help_text="What API keys can spend.")
    prepaid_held_micro_usd = serializers.CharField(help_text="Set aside for calls under way.")
    credit_notes = CreditNoteSerializer(many=True)


class CreditMovementSerializer(serializers.Serializer[Any]):
    """One change of a credit note: positive when money came onto it."""

    credit_note_id = serializers.CharField()
    kind = serializers.CharField()
    reason = serializers.CharField()
    amount_micro_usdc = serializers.CharField()
    remaining_micro_usdc = serializers.CharField(help_text="What was left on the note after it.")
    journal_id = serializers.CharField()
    recorded_at = serializers.DateTimeField()


class PrepaidMovementSerializer(serializers.Serializer[Any]):
    """One change of the prepaid balance, in MicroUSD: positive when credit came in."""

    kind = serializers.CharField()
    amount_micro_usd = serializers.CharField()
    balance_micro_usd = serializers.CharField(help_text="The balance after it.")
    journal_id = serializers.CharField()
    correlation_id = serializers.CharField()
    recorded_at = serializers.DateTimeField()


class CreditHistorySerializer(serializers.Serializer[Any]):
    """A page of movements, newest first."""

    movements = CreditMovementSerializer(many=True)
    prepaid_movements = PrepaidMovementSerializer(many=True, help_text="Filled with `of=prepaid`.")
    next_cursor = serializers.CharField(allow_null=True)


def state_facts(payment: Payment) -> dict[str, object]:
    """The facts of PaymentStateSerializer."""
    is_released = payment.method == Method.API_KEY and payment.state == PaymentState.CREDITED
    return {
        "payment_id": payment.pk,
        "state": payment.state,
        "is_final": payment.is_final,
        "next_step": RELEASED if is_released else NEXT_STEP[PaymentState(payment.state)],
        "created_at": payment.created_at,
    }


def payment_facts(payment: Payment) -> dict[str, object]:
    """The facts of PaymentSerializer."""
    charged = payment.charged_micro_usdc
    return state_facts(payment) | {
        "network": payment.network,
        "scheme": payment.scheme,
        "method": payment.method,
        "payer": payment.payer,
        "resource": f"{payment.request_method} {payment.request_path}",
        "quote_id": payment.quote_id,
        "correlation_id": payment.correlation_id,
        "transaction": payment.transaction_hash,
        "paid_micro_usdc": str(payment.amount_micro_usdc),
        "credit_applied_micro_usdc": str(payment.credit_applied_micro_usdc),
        "price_version": payment.price_version,
        "quoted_micro_usdc": str(payment.held_micro_usdc),
        "charged_micro_usdc": None if charged is None else str(charged),
        "settled_at": payment.settled_at,
        "served_at": payment.served_at,
        "failure_code": payment.failure_code,
    }


def note_facts(note: Note) -> dict[str, object]:
    """The facts of CreditNoteSerializer."""
    return {
        "id": note.id,
        "kind": note.kind,
        "amount_micro_usdc": str(note.amount),
        "remaining_micro_usdc": str(note.remaining),
        "expires_at": note.expires_at,
    }


def movement_facts(movement: Movement) -> dict[str, object]:
    """The facts of CreditMovementSerializer."""
    return {
        "credit_note_id": movement.note_id,
        "kind": movement.kind,
        "reason": movement.reason,
        "amount_micro_usdc": str(movement.amount),
        "remaining_micro_usdc": str(movement.remaining_after),
        "journal_id": movement.journal_id,
        "recorded_at": movement.recorded_at,
    }
