"""Rows of the catalogue: the models that are sold and the versions of their prices."""

from inference.models.catalogue import Model, ModelPrice

__all__ = ["Model", "ModelPrice"]
