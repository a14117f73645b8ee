"""The composition root as a Django app: it grants tables to the application's role after each migration."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class LoaSiteConfig(AppConfig):
    """Wires the siblings together; has no rows of its own."""

    name = "loa_site"
    verbose_name = "Loa"

    def ready(self) -> None:
        # Importing Celery's application here makes shared tasks use it in web processes too.
        from loa_site import celery, checks, grants, roles, task_checks

        celery.application.set_default()
        checks.register_all()
        task_checks.register_all()
        post_migrate.connect(grants.grant_after_migrate, dispatch_uid="loa_site.grants")
        post_migrate.connect(roles.write_groups, sender=self, dispatch_uid="loa_site.roles")
