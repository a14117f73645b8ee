"""The composition root: the only package that knows all the others."""

from loa_site.celery import application as celery_application

__all__ = ["celery_application"]
