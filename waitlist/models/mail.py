"""Mail that is to be sent. The row is the truth; the worker only delivers it."""

from django.db import models

from waitlist.models.entry import Entry


class Mail(models.Model):
    """One message to one entry. Its text is made when it is sent, from the entry as it then is."""

    class Kind(models.TextChoices):
        CONFIRM = "confirm", "please confirm"
        WELCOME = "welcome", "you are on the list"
        ALREADY = "already", "you were on the list before"
        INVITE = "invite", "you are invited"

    class State(models.TextChoices):
        QUEUED = "queued", "waiting to be sent"
        SENT = "sent", "taken by the mail provider"
        DROPPED = "dropped", "no longer wanted"
        GIVEN_UP = "given_up", "the provider never took it"

    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="mails")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    last_error = models.CharField(max_length=120, blank=True, help_text="the kind of failure, never its text")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "waitlist mail"
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("due_at",), condition=models.Q(state="queued"), name="waitlist_mail_due"),
            models.Index(fields=("state", "-id"), name="waitlist_mail_by_state"),
            models.Index(fields=("created_at",), condition=~models.Q(state="queued"), name="waitlist_mail_age"),
        )

    def __str__(self) -> str:
        return f"{self.kind} to {self.entry_id}"
