"""Credit notes and what happened to them."""

from django.db import models


class CreditNote(models.Model):
    """Money a wallet has with us; `remaining` changes only inside the append function."""

    id = models.TextField(primary_key=True)
    number = models.BigIntegerField()
    wallet = models.TextField()
    denomination = models.TextField()
    kind = models.TextField()
    amount = models.BigIntegerField()
    remaining = models.BigIntegerField()
    source = models.TextField()
    journal_id = models.TextField()
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    refundable_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = '"billing"."credit_note"'

    def __str__(self) -> str:
        return self.id


class CreditNoteMovement(models.Model):
    """Issued, spent, expired, refunded, clawed back or returned: by which journal, and what was left."""

    id = models.BigAutoField(primary_key=True)
    note = models.ForeignKey(CreditNote, on_delete=models.DO_NOTHING, related_name="movements")
    journal_id = models.TextField()
    reason = models.TextField()
    amount = models.BigIntegerField()
    remaining_after = models.BigIntegerField()
    entry_id = models.TextField(null=True)

    class Meta:
        managed = False
        db_table = '"billing"."credit_note_movement"'

    def __str__(self) -> str:
        return f"{self.note_id} {self.reason}"
