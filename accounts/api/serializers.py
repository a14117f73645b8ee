"""What the sign-in endpoints take and give."""

from rest_framework import serializers

from accounts.services.sign_in_expectations import MESSAGE_LENGTH_MAX, SIGNATURE_LENGTH_MAX


class NonceSerializer(serializers.Serializer[object]):
    """The parts of the message a wallet is asked to sign."""

    nonce = serializers.CharField()
    domain = serializers.CharField()
    uri = serializers.CharField()
    version = serializers.CharField()
    chain_id = serializers.IntegerField()
    issued_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class SignInSerializer(serializers.Serializer[object]):
    """An EIP-4361 message, exactly as it was signed, and its signature."""

    message = serializers.CharField(max_length=MESSAGE_LENGTH_MAX, trim_whitespace=False)
    signature = serializers.CharField(max_length=SIGNATURE_LENGTH_MAX)


class RefreshSerializer(serializers.Serializer[object]):
    """A refresh token, which is used up."""

    refresh_token = serializers.CharField(max_length=64)


class TokenPairSerializer(serializers.Serializer[object]):
    """The secrets of a session; they are not shown again."""

    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_at = serializers.DateTimeField()
    refresh_expires_at = serializers.DateTimeField()
    wallet = serializers.CharField()
    account_id = serializers.CharField()
