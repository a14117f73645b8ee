"""New prices, and the withdrawal of mistyped ones; a price row is never edited."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from inference.models import Model, ModelPrice
from inference.models.catalogue import OWN_KEY_MICRO_USD
from inference.selectors import catalogue


def publish_price(
    model: Model,
    *,
    input_micro_usd_per_million: int,
    output_micro_usd_per_million: int,
    own_key_micro_usd: int | None = None,
    valid_from: datetime | None = None,
) -> ModelPrice:
    """Sell `model` at new prices from `valid_from` (now, if not given); quotes signed before stay payable.

    A call with the buyer's own key costs `own_key_micro_usd`; what it cost before, if not given.
    Units: MicroUSD per million tokens, MicroUSD a call.
    Concurrency: locks the model's row, so that versions have no gaps.
    """
    with transaction.atomic(durable=True):
        Model.objects.select_for_update().get(pk=model.pk)
        newest = ModelPrice.objects.filter(model=model).order_by("-version").first()
        published = ModelPrice.objects.create(
            model=model,
            version=1 if newest is None else newest.version + 1,
            input_micro_usd_per_million=input_micro_usd_per_million,
            output_micro_usd_per_million=output_micro_usd_per_million,
            own_key_micro_usd=_own_key_fee(newest) if own_key_micro_usd is None else own_key_micro_usd,
            valid_from=valid_from or timezone.now(),
        )
        transaction.on_commit(catalogue.forget_snapshot)
    return published


def _own_key_fee(newest: ModelPrice | None) -> int:
    return OWN_KEY_MICRO_USD if newest is None else newest.own_key_micro_usd


def revoke_price(model: Model, *, version: int) -> bool:
    """Refuse every unpaid quote of a mistyped version; the newest one left is the price. False when it was revoked.

    Payments already taken under it keep its prices (rule R20).
    """
    with transaction.atomic(durable=True):
        changed = ModelPrice.objects.filter(model=model, version=version, is_revoked=False).update(is_revoked=True)
        transaction.on_commit(catalogue.forget_snapshot)
    return changed == 1
