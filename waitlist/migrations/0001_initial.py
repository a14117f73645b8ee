"""The waitlist: entries, requests, mails and invitation batches."""

import django.db.models.deletion
from django.db import migrations, models

import waitlist.models.entry


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="JoinRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "wish",
                    models.CharField(
                        choices=[("join", "join"), ("again", "send my link again")], default="join", max_length=8
                    ),
                ),
                ("email", models.CharField(max_length=254)),
                ("email_key", models.CharField(max_length=254)),
                ("language", models.CharField(max_length=8)),
                ("referral_code", models.CharField(blank=True, max_length=16)),
                ("consent_version", models.CharField(max_length=20)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "verbose_name": "waitlist request",
            },
        ),
        migrations.CreateModel(
            name="InviteBatch",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("wanted", models.PositiveIntegerField(help_text="how many to invite")),
                ("invited", models.PositiveIntegerField(default=0)),
                ("created_by", models.CharField(max_length=150)),
                ("reason", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField(auto_now_add=True, db_index=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "invitation batch",
                "verbose_name_plural": "invitation batches",
                "ordering": ("-created_at",),
                "permissions": (("invite", "Can invite people from the waitlist"),),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("invited__lte", models.F("wanted"))), name="waitlist_batch_not_overdrawn"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=waitlist.models.entry.new_entry_id,
                        editable=False,
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "asked, not confirmed"),
                            ("waiting", "confirmed and waiting"),
                            ("invited", "invited"),
                            ("accepted", "came in"),
                            ("left", "left the list"),
                        ],
                        default="pending",
                        max_length=12,
                    ),
                ),
                ("email", models.CharField(blank=True, help_text="the spelling that is written to", max_length=254)),
                (
                    "email_key",
                    models.CharField(help_text="recognises the mailbox", max_length=254, null=True, unique=True),
                ),
                ("wallet", models.CharField(max_length=42, null=True, unique=True)),
                ("language", models.CharField(default="en", max_length=8)),
                ("consent_version", models.CharField(max_length=20)),
                ("consented_at", models.DateTimeField()),
                ("created_at", models.DateTimeField(auto_now_add=True, db_index=True)),
                ("confirmed_at", models.DateTimeField(blank=True, null=True)),
                ("invited_at", models.DateTimeField(blank=True, null=True)),
                ("accepted_at", models.DateTimeField(blank=True, null=True)),
                ("left_at", models.DateTimeField(blank=True, null=True)),
                ("last_mail_at", models.DateTimeField(blank=True, help_text="for the cool-down", null=True)),
                ("rank_at", models.DateTimeField(blank=True, help_text="the order; earlier is in front", null=True)),
                (
                    "referral_code",
                    models.CharField(default=waitlist.models.entry.new_referral_code, max_length=10, unique=True),
                ),
                ("friends_confirmed", models.PositiveIntegerField(default=0)),
                (
                    "link_number",
                    models.PositiveIntegerField(default=0, help_text="using a single-use link counts it up"),
                ),
                (
                    "referred_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="friends",
                        to="waitlist.entry",
                    ),
                ),
                (
                    "batch",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="entries",
                        to="waitlist.invitebatch",
                    ),
                ),
            ],
            options={
                "verbose_name": "waitlist entry",
                "verbose_name_plural": "waitlist entries",
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="Mail",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("confirm", "please confirm"),
                            ("welcome", "you are on the list"),
                            ("already", "you were on the list before"),
                            ("invite", "you are invited"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "waiting to be sent"),
                            ("sent", "taken by the mail provider"),
                            ("dropped", "no longer wanted"),
                            ("given_up", "the provider never took it"),
                        ],
                        default="queued",
                        max_length=8,
                    ),
                ),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("due_at", models.DateTimeField()),
                (
                    "last_error",
                    models.CharField(blank=True, help_text="the kind of failure, never its text", max_length=120),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                (
                    "entry",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="mails", to="waitlist.entry"
                    ),
                ),
            ],
            options={
                "verbose_name": "waitlist mail",
                "ordering": ("-id",),
            },
        ),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(fields=["state", "rank_at", "id"], name="waitlist_entry_order"),
        ),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(fields=["state", "created_at"], name="waitlist_entry_age"),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(("email_key__isnull", True), ("wallet__isnull", True), _connector="XOR"),
                name="waitlist_entry_mailbox_or_wallet",
            ),
        ),
        migrations.AddConstraint(
            model_name="entry",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["pending", "left"]), ("rank_at__isnull", False), _connector="OR"),
                name="waitlist_entry_confirmed_has_place",
            ),
        ),
        migrations.AddIndex(
            model_name="mail",
            index=models.Index(condition=models.Q(("state", "queued")), fields=["due_at"], name="waitlist_mail_due"),
        ),
        migrations.AddIndex(
            model_name="mail",
            index=models.Index(fields=["state", "-id"], name="waitlist_mail_by_state"),
        ),
    ]
