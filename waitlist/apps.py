"""The waitlist as a Django app."""

from django.apps import AppConfig


class WaitlistConfig(AppConfig):
    """Public pages, their mail, and the invitations of staff."""

    name = "waitlist"
    label = "waitlist"
    verbose_name = "Waitlist"
    default_auto_field = "django.db.models.BigAutoField"
