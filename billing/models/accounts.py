"""Accounts, their balances, and the chart they come from."""

from django.db import models


class AccountShape(models.Model):
    """One line of the chart of accounts."""

    number = models.SmallIntegerField(primary_key=True)
    name = models.TextField(unique=True)
    pattern = models.TextField()
    kind = models.TextField()
    is_sharded = models.BooleanField()
    owner = models.TextField()
    denomination_pattern = models.TextField()
    floor = models.BigIntegerField()
    cap = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = '"billing"."account_shape"'

    def __str__(self) -> str:
        return self.name


class Account(models.Model):
    """An account in one denomination; opened by the first journal that names it."""

    id = models.BigAutoField(primary_key=True)
    name = models.TextField()
    denomination = models.TextField()
    shape = models.ForeignKey(AccountShape, on_delete=models.DO_NOTHING, db_column="shape", related_name="+")
    owner = models.TextField()
    opened_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = '"billing"."account"'

    def __str__(self) -> str:
        return self.name


class Balance(models.Model):
    """What an account holds: one row for users and wallets, one row per stream for system accounts."""

    pk = models.CompositePrimaryKey("account_id", "shard")
    account = models.ForeignKey(Account, on_delete=models.DO_NOTHING, related_name="balances")
    shard = models.IntegerField()
    posted = models.BigIntegerField()
    version = models.BigIntegerField()
    floor = models.BigIntegerField()
    cap = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = '"billing"."balance"'

    def __str__(self) -> str:
        return f"{self.account_id}/{self.shard}"


class JournalKindRow(models.Model):
    """What a kind of journal needs besides postings that fit."""

    kind = models.TextField(primary_key=True)
    allowed_mask = models.BigIntegerField()
    required_mask = models.BigIntegerField()
    has_postings = models.BooleanField()
    needs_entry = models.BooleanField()
    needs_approval = models.BooleanField()
    daily_limit = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = '"billing"."journal_kind"'

    def __str__(self) -> str:
        return self.kind


class PostingTemplate(models.Model):
    """A posting that a kind of journal may have: shape of account and sign."""

    pk = models.CompositePrimaryKey("kind", "shape", "sign")
    kind = models.TextField()
    shape = models.TextField()
    sign = models.SmallIntegerField()
    is_required = models.BooleanField()

    class Meta:
        managed = False
        db_table = '"billing"."posting_template"'

    def __str__(self) -> str:
        return f"{self.kind} {self.shape} {self.sign:+}"
