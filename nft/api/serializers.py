"""What the holders' side takes and gives."""

from typing import Any

from rest_framework import serializers

from accounts.api.strict_fields import StrictIntegerField, StrictSerializer
from nft.domain.personality import (
    DOMAIN_LENGTH_MAX,
    DOMAINS_MAX,
    INSTRUCTIONS_LENGTH_MAX,
    NAME_LENGTH_MAX,
    Voice,
)

VERSION_MAX = 2**31 - 1
TOKEN_ID_TEXT_MAX = 80
VOICES = [voice.value for voice in Voice]


class TextField(serializers.CharField):
    """A JSON string; numbers and truth values are not made into one."""

    def to_internal_value(self, data: Any) -> str:
        """The text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class VersionField(StrictIntegerField):
    """The version the caller read."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=VERSION_MAX, **options)


class OwnedTokenSerializer(serializers.Serializer[Any]):
    """A token a wallet owns."""

    chain = serializers.CharField(help_text="CAIP-2, such as `eip155:8453`.")
    collection = serializers.CharField()
    token_id = serializers.CharField(help_text="Decimal digits; up to 78, so never a JSON number.")
    name = serializers.CharField()
    balance = serializers.IntegerField()
    image_url = serializers.CharField(help_text="A stranger's address. A safe copy: `/agent/…/picture`.")
    vault = serializers.CharField(help_text="The wallet that owns it, where it lets this one act; else empty.")


class WalletTokensSerializer(serializers.Serializer[Any]):
    """What a wallet owns of the collections this site knows."""

    wallet = serializers.CharField()
    nfts = OwnedTokenSerializer(many=True, source="tokens")
    answered_by = serializers.CharField(source="source", help_text="`alchemy`, `rpc_fallback`, both, or `none`.")
    cached = serializers.BooleanField(source="is_cached")


class SelectedTokenSerializer(serializers.Serializer[Any]):
    """A chosen token."""

    chain = serializers.CharField()
    collection = serializers.CharField()
    token_id = serializers.CharField()


class OnboardingSerializer(serializers.Serializer[Any]):
    """How far an onboarding has come."""

    session_id = serializers.CharField()
    version = serializers.IntegerField(help_text="Send it with the next change.")
    wallet_address = serializers.CharField()
    current_step = serializers.CharField(help_text="The step to be done next.")
    step_index = serializers.IntegerField()
    completed_steps = serializers.ListField(child=serializers.CharField())
    nfts = OwnedTokenSerializer(many=True)
    selected_nft = SelectedTokenSerializer(allow_null=True)
    personality_configured = serializers.BooleanField()
    credits_purchased = serializers.BooleanField(help_text="Whether the ledger holds credit for this wallet now.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class CompletedSerializer(serializers.Serializer[Any]):
    """A finished onboarding."""

    redirect_url = serializers.CharField()
    state = OnboardingSerializer()


class StartSerializer(StrictSerializer):
    """Nothing: the session says who it is."""


class VersionedSerializer(StrictSerializer):
    """A change of what the caller read at a version."""

    version = VersionField()


class DetectSerializer(VersionedSerializer):
    """A scan."""

    refresh = serializers.BooleanField(default=False, help_text="Ask anew, whatever is remembered.")


class SelectSerializer(VersionedSerializer):
    """A choice of token."""

    collection = TextField(max_length=TOKEN_ID_TEXT_MAX)
    token_id = TextField(max_length=TOKEN_ID_TEXT_MAX)
    chain = TextField(max_length=25, default="", allow_blank=True)


class TraitsSerializer(StrictSerializer):
    """A whole personality."""

    name = TextField(max_length=NAME_LENGTH_MAX, required=False, help_text="By default `Agent` and the token's id.")
    voice = serializers.ChoiceField(choices=VOICES, default=Voice.ANALYTICAL.value)
    expertise_domains = serializers.ListField(
        child=TextField(max_length=DOMAIN_LENGTH_MAX), default=list, max_length=DOMAINS_MAX
    )
    custom_instructions = TextField(max_length=INSTRUCTIONS_LENGTH_MAX, default="", allow_blank=True)


class ConfigureSerializer(VersionedSerializer, TraitsSerializer):
    """A personality for the chosen token, or `skip`."""

    skip = serializers.BooleanField(default=False, help_text="Keep the personality there is, or take a default one.")


class CreditsSerializer(VersionedSerializer):
    """How to go on."""

    skip = serializers.BooleanField(default=False, help_text="Go on without credit, paying each call.")


class UpdateSerializer(VersionedSerializer, TraitsSerializer):
    """New traits for a personality at a version."""


class RollbackSerializer(VersionedSerializer):
    """Which version to bring back."""

    to_version = VersionField()


class PersonalitySerializer(serializers.Serializer[Any]):
    """What everybody may know about an agent."""

    id = serializers.CharField()
    chain = serializers.CharField()
    collection = serializers.CharField()
    token_id = serializers.CharField()
    name = serializers.CharField(source="spoken.name")
    voice = serializers.CharField(help_text=", ".join(VOICES))
    expertise_domains = serializers.ListField(child=serializers.CharField(), source="spoken.expertise_domains")
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class OwnPersonalitySerializer(PersonalitySerializer):
    """What its owner gets."""

    name = serializers.CharField()
    expertise_domains = serializers.ListField(child=serializers.CharField())
    custom_instructions = serializers.CharField()
    review = serializers.CharField(
        help_text="`clear`, `waiting` to be looked at, `withdrawn` by staff, or `held` until staff approve it."
    )


class VersionSerializer(serializers.Serializer[Any]):
    """A personality as it was written once."""

    number = serializers.IntegerField()
    name = serializers.CharField()
    voice = serializers.CharField()
    expertise_domains = serializers.ListField(child=serializers.CharField())
    custom_instructions = serializers.CharField()
    written_by = serializers.CharField()
    written_at = serializers.DateTimeField()
    restored_from = serializers.IntegerField(allow_null=True)


class VersionListSerializer(serializers.Serializer[Any]):
    """Newest first."""

    versions = VersionSerializer(many=True)


class ChangeSerializer(serializers.Serializer[Any]):
    """One field that differs."""

    field = serializers.CharField()
    before = serializers.JSONField()
    after = serializers.JSONField()


class DiffSerializer(serializers.Serializer[Any]):
    """What changed between two versions."""

    from_version = serializers.IntegerField()
    to_version = serializers.IntegerField()
    changes = ChangeSerializer(many=True)


class PreviewSerializer(serializers.Serializer[Any]):
    """What a draft would make of the agent."""

    name = serializers.CharField()
    voice = serializers.CharField()
    expertise_domains = serializers.ListField(child=serializers.CharField())
    custom_instructions = serializers.CharField()
    system_prompt = serializers.CharField(help_text="What a model is told before each message.")


class ExportSerializer(serializers.Serializer[Any]):
    """Everything that is kept about an agent."""

    personality = OwnPersonalitySerializer()
    versions = VersionSerializer(many=True)
