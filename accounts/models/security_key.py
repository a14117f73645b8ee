"""A key by which staff show their second factor (WebAuthn): what the browser's authenticator let us keep of it."""

from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django_otp.models import Device

CREDENTIAL_ID_LENGTH_MAX = 1_368  # 1,023 bytes, the most an authenticator may use, in base64url
NAME_LENGTH_MAX = 64  # of django-otp's own field

if TYPE_CHECKING:

    class DeviceBase(models.Model):
        """What django-otp's Device brings, which has no types."""

        user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
        name = models.CharField(max_length=NAME_LENGTH_MAX)
        confirmed = models.BooleanField(default=True)

        class Meta:
            abstract = True
else:
    DeviceBase = Device


class SecurityKey(DeviceBase):
    """One key of one member of staff. The private half never leaves the authenticator."""

    objects: ClassVar[models.Manager["SecurityKey"]]  # django-otp's own

    credential_id = models.CharField(max_length=CREDENTIAL_ID_LENGTH_MAX, unique=True, help_text="In base64url.")
    public_key = models.BinaryField(help_text="COSE, as the authenticator gave it.")
    sign_count = models.BigIntegerField(default=0, help_text="How often the authenticator says it signed; 0: no count.")
    transports = models.JSONField(default=list, blank=True)
    added_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        verbose_name = "security key"
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name
