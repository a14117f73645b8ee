"""Staff pages of the catalogue: models may be edited, prices are published in versions, usage is shown."""

from inference.admin.models import ModelAdmin
from inference.admin.prices import ModelPriceAdmin
from inference.admin.usage import CallUsageAdmin, OwnKeyAdmin

__all__ = ["CallUsageAdmin", "ModelAdmin", "ModelPriceAdmin", "OwnKeyAdmin"]
