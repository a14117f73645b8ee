"""An account is whom the ledger owes; a wallet is how they prove themselves. A bare wallet gets an account on sight."""

from django.db import models

from telemetry.identifiers import ID_LENGTH_MAX, new_id


def new_account_id() -> str:
    """A fresh `acc_…` id."""
    return new_id("acc")


class Account(models.Model):
    """One customer. Never deleted: the ledger names accounts by this id."""

    id = models.CharField(max_length=ID_LENGTH_MAX, primary_key=True, default=new_account_id, editable=False)
    label = models.CharField(max_length=120, blank=True, help_text="A name staff recognise; customers never see it.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = "account"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.label or self.id


class Wallet(models.Model):
    """An address of one network family (all EVM chains are one), owned by one account."""

    class Family(models.TextChoices):
        EVM = "eip155", "EVM"

    family = models.CharField(max_length=16, choices=Family.choices, default=Family.EVM)
    address = models.CharField(max_length=42, help_text="0x and 40 lower-case hex digits")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="wallets")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "wallet"
        constraints = (
            models.UniqueConstraint(fields=("family", "address"), name="accounts_wallet_once_per_family"),
            models.CheckConstraint(condition=models.Q(address__regex=r"^0x[0-9a-f]{40}$"), name="accounts_wallet_hex"),
        )
        indexes = (models.Index(fields=("address",), name="accounts_wallet_by_address"),)

    def __str__(self) -> str:
        return self.address
