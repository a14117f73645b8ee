"""Indexes for a list of a million: staff find an address as it was typed, and what is past its time is found by age."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("waitlist", "0001_initial"),
    ]

    operations = [
        # The order of the staff list, so that a rare state is not looked for through all the others.
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(fields=["state", "created_at", "id"], name="waitlist_entry_by_state"),
        ),
        migrations.RemoveIndex(model_name="entry", name="waitlist_entry_age"),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(condition=~models.Q(("email", "")), fields=["email"], name="waitlist_entry_email"),
        ),
        migrations.AddIndex(
            model_name="entry",
            index=models.Index(condition=models.Q(("state", "left")), fields=["left_at"], name="waitlist_entry_left"),
        ),
        migrations.AddIndex(
            model_name="mail",
            index=models.Index(
                condition=~models.Q(("state", "queued")), fields=["created_at"], name="waitlist_mail_age"
            ),
        ),
    ]
