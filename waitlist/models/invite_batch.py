"""A number of places that staff gave away at once."""

from django.db import models

from telemetry.identifiers import ID_LENGTH_MAX


class InviteBatch(models.Model):
    """The form's own id is the key, so that a second press of the button finds the first one's batch."""

    id = models.CharField(max_length=ID_LENGTH_MAX, primary_key=True)
    wanted = models.PositiveIntegerField(help_text="how many to invite")
    invited = models.PositiveIntegerField(default=0)
    created_by = models.CharField(max_length=150)
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "invitation batch"
        verbose_name_plural = "invitation batches"
        ordering = ("-created_at",)
        permissions = (("invite", "Can invite people from the waitlist"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(invited__lte=models.F("wanted")), name="waitlist_batch_not_overdrawn"
            ),
        )

    def __str__(self) -> str:
        return self.id
