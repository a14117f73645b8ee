"""The catalogue's rows, and what each paid call consumed."""

from inference.models.catalogue import Model, ModelPrice, ModelRoute
from inference.models.usage import CallUsage

__all__ = ["CallUsage", "Model", "ModelPrice", "ModelRoute"]
