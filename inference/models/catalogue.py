"""The catalogue: which models are sold, who answers for them, and every price they ever had.

A price is never edited. A new price is a new version (`inference.services.publish_price`), because quotes that
were signed under an old version must still be payable; a mistyped one is revoked. A trigger holds this in the
database as well.
"""

from typing import ClassVar

from django.db import models

MICRO_USD_PER_MILLION_TOKENS_MAX = 10**12  # one MicroUSD-million a token; keeps every product within one bigint
OWN_KEY_MICRO_USD = 200  # a fifth of a thousandth of a dollar: what passing a call on costs us, and a little


class Model(models.Model):
    """A model that is sold under `name`. Units: tokens."""

    name = models.CharField(max_length=100, unique=True)
    upstream = models.CharField(max_length=50, help_text="A name in LOA['UPSTREAMS']; without it, not listed.")
    upstream_model = models.CharField(max_length=100, help_text="What the upstream calls this model.")
    capabilities = models.JSONField(default=list, help_text='Words such as "chat" and "tools".')
    context_tokens = models.PositiveIntegerField(help_text="Prompt and answer together.")
    max_output_tokens = models.PositiveIntegerField()
    is_offered = models.BooleanField(default=True, help_text="Untick to withdraw it from sale.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="inference_model_writes_less_than_it_reads",
                condition=models.Q(max_output_tokens__gte=1, max_output_tokens__lt=models.F("context_tokens")),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ModelRoute(models.Model):
    """One more upstream that answers for a model, asked when those before it cannot. The model's own comes first."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="routes")
    position = models.PositiveSmallIntegerField(default=1, help_text="1 is asked first after the model's own upstream.")
    upstream = models.CharField(max_length=50, help_text="A name in LOA['UPSTREAMS'].")
    upstream_model = models.CharField(max_length=100, help_text="What this upstream calls the model.")

    class Meta:
        ordering: ClassVar = ["model_id", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "position"], name="inference_route_position_unique")
        ]

    def __str__(self) -> str:
        return f"{self.model_id} by {self.upstream}"


class ModelPrice(models.Model):
    """One version of a model's prices. Units: MicroUSD per million tokens."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="prices")
    version = models.PositiveIntegerField()
    input_micro_usd_per_million = models.BigIntegerField()
    output_micro_usd_per_million = models.BigIntegerField()
    own_key_micro_usd = models.BigIntegerField(
        default=OWN_KEY_MICRO_USD, help_text="A call whose tokens the buyer's own key pays for, MicroUSD."
    )
    valid_from = models.DateTimeField()
    is_revoked = models.BooleanField(default=False, help_text="A mistyped price: its unpaid quotes are refused.")

    class Meta:
        ordering: ClassVar = ["model_id", "-version"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "version"], name="inference_price_version_unique"),
            models.CheckConstraint(
                name="inference_price_in_range",
                condition=models.Q(
                    version__gte=1,
                    input_micro_usd_per_million__range=(0, MICRO_USD_PER_MILLION_TOKENS_MAX),
                    output_micro_usd_per_million__range=(0, MICRO_USD_PER_MILLION_TOKENS_MAX),
                ),
            ),
            models.CheckConstraint(
                name="inference_own_key_fee_in_range",
                condition=models.Q(own_key_micro_usd__range=(1, MICRO_USD_PER_MILLION_TOKENS_MAX)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.name}, version {self.version}"
