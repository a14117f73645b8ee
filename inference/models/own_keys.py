"""Keys of buyers for the upstreams themselves, sealed: the row shows who, for which upstream, and its last letters."""

from typing import ClassVar

from django.db import models

from telemetry.identifiers import ID_LENGTH_MAX, new_id

DAILY_LIMIT = 1_000


def new_own_key_id() -> str:
    """A fresh `byk_…` id."""
    return new_id("byk")


class OwnKey(models.Model):
    """`sealed` is emptied when the key is ended; the rest stays, because usage names it."""

    id = models.CharField(max_length=ID_LENGTH_MAX, primary_key=True, default=new_own_key_id, editable=False)
    account_id = models.CharField(max_length=40)
    upstream = models.CharField(max_length=50)
    label = models.CharField(max_length=80, blank=True)
    sealed = models.BinaryField()
    hint = models.CharField(max_length=4, help_text="The key's last letters.")
    daily_limit = models.PositiveIntegerField(default=DAILY_LIMIT, help_text="Calls a day, by UTC.")
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["account_id", "-id"], name="inference_own_keys")]

    def __str__(self) -> str:
        return self.id


class OwnKeyUse(models.Model):
    """How many calls a key made on one day. A row, because a limit must survive an empty Redis."""

    key = models.ForeignKey(OwnKey, on_delete=models.CASCADE, related_name="uses")
    day = models.DateField()
    calls = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["key", "day"], name="inference_own_key_day")]

    def __str__(self) -> str:
        return f"{self.key_id} on {self.day}"
