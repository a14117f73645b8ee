"""What somebody typed into the form, kept until the worker has answered it by mail."""

from django.db import models


class JoinRequest(models.Model):
    """Every accepted form writes one, whoever is on the list already: that is why all answers take the same time."""

    class Wish(models.TextChoices):
        JOIN = "join", "join"
        AGAIN = "again", "send my link again"

    wish = models.CharField(max_length=8, choices=Wish.choices, default=Wish.JOIN)
    email = models.CharField(max_length=254)
    email_key = models.CharField(max_length=254)
    language = models.CharField(max_length=8)
    referral_code = models.CharField(max_length=16, blank=True)
    consent_version = models.CharField(max_length=20)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "waitlist request"

    def __str__(self) -> str:
        return f"request {self.pk}"
