"""What the endpoints of API keys take and give. Money is MicroUSD in decimal strings, times are UTC."""

from typing import Any, Final

from django.utils import timezone
from rest_framework import serializers

from accounts.api.strict_fields import AmountField, StrictIntegerField, StrictSerializer
from accounts.models import ApiKey
from accounts.services.api_keys import GRACE_SECONDS, GRACE_SECONDS_MAX, SCOPES, USUAL_SCOPES, is_live

LIMIT_MAX: Final = 1_000_000


class KeyLimitsSerializer(StrictSerializer):
    """Limits of a key; null is no limit of its own."""

    limit_per_minute = StrictIntegerField(min_value=1, max_value=LIMIT_MAX, allow_null=True, default=None)
    daily_cap_micro_usd = AmountField(allow_null=True, default=None)


class NewKeySerializer(KeyLimitsSerializer):
    """What a new key may do."""

    name = serializers.CharField(max_length=80, allow_blank=True, default="")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=SCOPES), min_length=1, default=list(USUAL_SCOPES)
    )
    expires_at = serializers.DateTimeField(allow_null=True, default=None)

    def validate_name(self, value: str) -> str:
        """A name is one printable line."""
        if not value.isprintable():
            raise serializers.ValidationError("A name is one line of printable characters.")
        return value

    def validate_expires_at(self, value: Any) -> Any:
        """An end is in the future."""
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("The end must be in the future.")
        return value


class RotationSerializer(StrictSerializer):
    """How long the old key goes on working beside its replacement."""

    grace_seconds = StrictIntegerField(min_value=0, max_value=GRACE_SECONDS_MAX, default=GRACE_SECONDS)


class KeySerializer(serializers.Serializer[Any]):
    """A key without its secret."""

    key_id = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    hint = serializers.CharField(help_text="Its kind and last four characters.")
    scopes = serializers.ListField(child=serializers.CharField())
    is_live = serializers.BooleanField(help_text="Whether it works now.")
    limit_per_minute = serializers.IntegerField(allow_null=True)
    daily_cap_micro_usd = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the hour.")


class CreatedKeySerializer(KeySerializer):
    """A key with its secret, which is shown this once."""

    key = serializers.CharField(help_text="Keep it: it is shown once.")


class KeyPageSerializer(serializers.Serializer[Any]):
    """A page of the account's keys, newest first."""

    keys = KeySerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class KeyBalanceSerializer(serializers.Serializer[Any]):
    """What a key can spend now. Units: MicroUSD."""

    key_id = serializers.CharField()
    balance_micro_usd = serializers.CharField(help_text="The account's prepaid balance.")
    held_micro_usd = serializers.CharField(help_text="Set aside for calls under way.")
    daily_cap_micro_usd = serializers.CharField(allow_null=True)
    spent_today_micro_usd = serializers.CharField(help_text="Charged or held since midnight UTC, by the key's family.")
    spendable_micro_usd = serializers.CharField(help_text="What one call could cost now.")
    limit_per_minute = serializers.IntegerField()


def key_facts(row: ApiKey) -> dict[str, object]:
    """The facts of KeySerializer."""
    cap = row.daily_cap_micro_usd
    return {
        "key_id": row.pk,
        "name": row.name,
        "hint": row.hint,
        "scopes": row.scopes,
        "is_live": is_live(row),
        "limit_per_minute": row.limit_per_minute,
        "daily_cap_micro_usd": None if cap is None else str(cap),
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "last_used_at": row.last_used_at,
    }
