"""The shapes of the facilitator API, for the OpenAPI document; what is read is read by the protocol's own parser."""

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

# Source: x402 v1 §7.1, v2 §7.1.
FACILITATOR_REQUEST = inline_serializer(
    "FacilitatorRequest",
    {
        "x402Version": serializers.ChoiceField(choices=[1, 2]),
        "paymentPayload": serializers.JSONField(help_text="The payment as its payer sent it."),
        "paymentRequirements": serializers.JSONField(help_text="The terms it is judged by, in the payment's version."),
    },
)
VERIFY_RESPONSE = inline_serializer(
    "VerifyResponse",
    {
        "isValid": serializers.BooleanField(),
        "invalidReason": serializers.CharField(required=False, help_text="A word of the specification."),
        "invalidMessage": serializers.CharField(required=False),
        "payer": serializers.CharField(required=False),
    },
)
SETTLE_RESPONSE = inline_serializer(
    "SettleResponse",
    {
        "success": serializers.BooleanField(),
        "transaction": serializers.CharField(allow_blank=True, help_text="Empty when nothing was sent."),
        "network": serializers.CharField(),
        "payer": serializers.CharField(required=False),
        "amount": serializers.CharField(required=False, help_text="In the asset's atomic unit (version 2)."),
        "errorReason": serializers.CharField(required=False, help_text="`settlement_pending`: ask again."),
        "errorMessage": serializers.CharField(required=False),
    },
)
# Source: x402 v2 §7.3.
SUPPORTED = inline_serializer(
    "Supported",
    {
        "kinds": inline_serializer(
            "SupportedKind",
            {
                "x402Version": serializers.ChoiceField(choices=[1, 2]),
                "scheme": serializers.CharField(),
                "network": serializers.CharField(),
                "extra": serializers.JSONField(required=False),
            },
            many=True,
        ),
        "extensions": serializers.ListField(child=serializers.CharField()),
        "signers": serializers.DictField(child=serializers.ListField(child=serializers.CharField())),
    },
)
# Source: x402 v2, discovery.
DISCOVERY = inline_serializer(
    "Discovery",
    {
        "x402Version": serializers.IntegerField(),
        "items": inline_serializer(
            "DiscoveredResource",
            {
                "resource": serializers.CharField(),
                "type": serializers.CharField(),
                "x402Version": serializers.IntegerField(),
                "accepts": serializers.ListField(child=serializers.JSONField()),
                "lastUpdated": serializers.IntegerField(),
                "metadata": serializers.JSONField(required=False),
            },
            many=True,
        ),
        "pagination": inline_serializer(
            "DiscoveryPage",
            {
                "limit": serializers.IntegerField(),
                "offset": serializers.IntegerField(),
                "total": serializers.IntegerField(),
            },
        ),
    },
)
