"""New prices, and the withdrawal of mistyped ones; a price row is never edited."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from inference.models import Model, ModelPrice
from inference.selectors import catalogue


def publish_price(
    model: Model,
    *,
    input_micro_usd_per_million: int,
    output_micro_usd_per_million: int,
    valid_from: datetime | None = None,
) -> ModelPrice:
    """Sell `model` at new prices from `valid_from` (now, if not given); quotes signed before stay payable.

    Units: MicroUSD per million tokens. Concurrency: locks the model's row, so that versions have no gaps.
    """
    with transaction.atomic(durable=True):
        Model.objects.select_for_update().get(pk=model.pk)
        newest = ModelPrice.objects.filter(model=model).order_by("-version").first()
        published = ModelPrice.objects.create(
            model=model,
            version=1 if newest is None else newest.version + 1,
            input_micro_usd_per_million=input_micro_usd_per_million,
            output_micro_usd_per_million=output_micro_usd_per_million,
            valid_from=valid_from or timezone.now(),
        )
        transaction.on_commit(catalogue.forget_snapshot)
    return published


def revoke_price(model: Model, *, version: int) -> bool:
    """Refuse every unpaid quote of a mistyped version; the newest one left is the price. False when it was revoked.

    Payments already taken under it keep its prices (rule R20).
    """
    with transaction.atomic(durable=True):
        changed = ModelPrice.objects.filter(model=model, version=version, is_revoked=False).update(is_revoked=True)
        transaction.on_commit(catalogue.forget_snapshot)
    return changed == 1
