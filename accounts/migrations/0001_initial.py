"""Accounts, wallets, sessions, used nonces and the audit log."""

import django.db.models.deletion
from django.db import migrations, models

import accounts.models.account
import accounts.models.session


class Migration(migrations.Migration):
    initial = True

    dependencies = ()

    operations = (
        migrations.CreateModel(
            name="Account",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=accounts.models.account.new_account_id,
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "label",
                    models.CharField(
                        blank=True, help_text="A name staff recognise; customers never see it.", max_length=120
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, db_index=True)),
            ],
            options={
                "verbose_name": "account",
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="UsedNonce",
            fields=[
                ("nonce", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "verbose_name": "used nonce",
            },
        ),
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(auto_now_add=True, db_index=True)),
                ("actor", models.CharField(help_text="a staff user, an account or a command", max_length=150)),
                ("action", models.CharField(db_index=True, max_length=80)),
                ("subject", models.CharField(blank=True, max_length=120)),
                ("reason", models.TextField(blank=True)),
                ("facts", models.JSONField(default=dict)),
                ("correlation_id", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "verbose_name": "audit event",
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["subject", "-id"], name="accounts_audit_of_subject")],
            },
        ),
        migrations.CreateModel(
            name="Session",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=accounts.models.session.new_session_id,
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("family", models.CharField(db_index=True, help_text="id of the sign-in it began with", max_length=40)),
                ("wallet", models.CharField(help_text="the wallet that signed in", max_length=42)),
                ("token_hash", models.CharField(max_length=64, unique=True)),
                ("refresh_hash", models.CharField(max_length=64, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField()),
                ("refresh_expires_at", models.DateTimeField(db_index=True)),
                ("refreshed_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="sessions", to="accounts.account"
                    ),
                ),
            ],
            options={
                "verbose_name": "session",
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="Wallet",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("family", models.CharField(choices=[("eip155", "EVM")], default="eip155", max_length=16)),
                ("address", models.CharField(help_text="0x and 40 lower-case hex digits", max_length=42)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="wallets", to="accounts.account"
                    ),
                ),
            ],
            options={
                "verbose_name": "wallet",
                "constraints": [
                    models.UniqueConstraint(fields=("family", "address"), name="accounts_wallet_once_per_family"),
                    models.CheckConstraint(
                        condition=models.Q(("address__regex", "^0x[0-9a-f]{40}$")), name="accounts_wallet_hex"
                    ),
                ],
            },
        ),
    )
