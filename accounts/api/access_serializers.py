"""What staff send and get about feature flags and the allowlist."""

from typing import Any

from rest_framework import serializers

from accounts.api.strict_fields import StrictIntegerField, StrictSerializer
from accounts.models import AllowlistEntry, FeatureFlag
from accounts.services import allowlist, feature_flags
from accounts.services.feature_flags import FLAGS


class FlagSerializer(serializers.Serializer[Any]):
    """One switch."""

    name = serializers.CharField()
    description = serializers.CharField()
    is_enabled = serializers.BooleanField()
    percentage = serializers.IntegerField(help_text="Of wallets or accounts for whom it is on when it is enabled.")
    subjects = serializers.ListField(child=serializers.CharField(), help_text="For whom it is on in any case.")
    reason = serializers.CharField()
    changed_by = serializers.CharField()
    changed_at = serializers.DateTimeField(allow_null=True)


class FlagListSerializer(serializers.Serializer[Any]):
    """All switches."""

    flags = FlagSerializer(many=True)


class FlagChangeSerializer(StrictSerializer):
    """How one switch is to be."""

    name = serializers.CharField(max_length=40)
    is_enabled = serializers.BooleanField()
    percentage = StrictIntegerField(default=100, min_value=0, max_value=100)
    subjects = serializers.ListField(
        child=serializers.CharField(max_length=feature_flags.SUBJECT_LENGTH_MAX),
        default=list,
        max_length=feature_flags.SUBJECTS_MAX,
    )
    reason = serializers.CharField(max_length=feature_flags.REASON_LENGTH_MAX)


class EntrySerializer(serializers.Serializer[Any]):
    """One wallet that was let in."""

    address = serializers.CharField()
    reason = serializers.CharField()
    added_by = serializers.CharField()
    added_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)


class AllowlistPageSerializer(serializers.Serializer[Any]):
    """A page of the list."""

    entries = EntrySerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class AllowlistChangeSerializer(StrictSerializer):
    """Whom to let in or take off, and why."""

    action = serializers.ChoiceField(choices=["add", "remove"])
    addresses = serializers.ListField(
        child=serializers.CharField(max_length=100), min_length=1, max_length=allowlist.BULK_MAX
    )
    reason = serializers.CharField(max_length=allowlist.REASON_LENGTH_MAX)
    expires_at = serializers.DateTimeField(default=None, allow_null=True)


class AllowlistChangedSerializer(serializers.Serializer[Any]):
    """What came of it."""

    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    invalid = serializers.ListField(child=serializers.CharField(), help_text="What was sent and is no address.")


def flag_facts(row: FeatureFlag) -> dict[str, object]:
    """The facts of FlagSerializer."""
    return {
        "name": row.name,
        "description": FLAGS.get(row.name, ""),
        "is_enabled": row.is_enabled,
        "percentage": row.percentage,
        "subjects": row.subjects,
        "reason": row.reason,
        "changed_by": row.changed_by,
        "changed_at": row.changed_at,
    }


def entry_facts(row: AllowlistEntry) -> dict[str, object]:
    """The facts of EntrySerializer."""
    return {
        "address": row.address,
        "reason": row.reason,
        "added_by": row.added_by,
        "added_at": row.added_at,
        "expires_at": row.expires_at,
    }
