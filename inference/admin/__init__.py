"""Staff pages of the catalogue: models may be edited, prices are published in versions."""

from inference.admin.models import ModelAdmin
from inference.admin.prices import ModelPriceAdmin

__all__ = ["ModelAdmin", "ModelPriceAdmin"]
