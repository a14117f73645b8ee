"""Streams, journals, postings and the keys that make a second append of the same journal harmless."""

from django.db import models

from billing.models.accounts import Account


class Stream(models.Model):
    """A chain of journals with one writer at a time."""

    id = models.IntegerField(primary_key=True)
    lane = models.TextField()
    last_token = models.BigIntegerField()
    holder = models.TextField()
    epoch = models.BigIntegerField()
    lease_until = models.DateTimeField()
    sequence = models.BigIntegerField()
    head = models.BinaryField()
    last_recorded_at = models.DateTimeField()
    closed_until = models.DateTimeField()
    opened_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = '"billing"."stream"'

    def __str__(self) -> str:
        return f"stream {self.id}"


class Journal(models.Model):
    """One event of the ledger; never changed, never deleted."""

    id = models.TextField(primary_key=True)
    stream = models.ForeignKey(Stream, on_delete=models.DO_NOTHING, db_column="stream", related_name="journals")
    sequence = models.BigIntegerField()
    kind = models.TextField()
    key = models.TextField()
    body_hash = models.BinaryField()
    previous_hash = models.BinaryField()
    hash = models.BinaryField()
    posting_count = models.SmallIntegerField()
    effective_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    correlation_id = models.TextField()
    entry_id = models.TextField(null=True)
    approval_id = models.TextField(null=True)
    reverses = models.TextField(null=True)
    metadata = models.JSONField()
    schema_version = models.SmallIntegerField()
    batch_first = models.BigIntegerField()
    closes_batch = models.BooleanField()

    class Meta:
        managed = False
        db_table = '"billing"."journal"'

    def __str__(self) -> str:
        return self.id


class Posting(models.Model):
    """One line of a journal, with the balance it left behind."""

    pk = models.CompositePrimaryKey("journal_id", "line")
    journal = models.ForeignKey(Journal, on_delete=models.DO_NOTHING, related_name="postings")
    line = models.SmallIntegerField()
    account = models.ForeignKey(Account, on_delete=models.DO_NOTHING, related_name="postings")
    shard = models.IntegerField()
    version = models.BigIntegerField()
    amount = models.BigIntegerField()
    balance_after = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = '"billing"."posting"'

    def __str__(self) -> str:
        return f"{self.journal_id}/{self.line}"


class IdempotencyKey(models.Model):
    """The key of a journal that was written, and the hash of its body."""

    key = models.TextField(primary_key=True)
    body_hash = models.BinaryField()
    journal = models.ForeignKey(Journal, on_delete=models.DO_NOTHING, related_name="+")

    class Meta:
        managed = False
        db_table = '"billing"."idempotency_key"'

    def __str__(self) -> str:
        return self.key
