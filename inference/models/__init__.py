"""The catalogue's rows, what each paid call consumed, and the keys buyers bring along."""

from inference.models.catalogue import Model, ModelPrice, ModelRoute
from inference.models.own_keys import OwnKey, OwnKeyUse
from inference.models.usage import CallUsage

__all__ = ["CallUsage", "Model", "ModelPrice", "ModelRoute", "OwnKey", "OwnKeyUse"]
