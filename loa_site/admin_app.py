"""Django's admin under our own site class. Listed in INSTALLED_APPS in place of `django.contrib.admin`."""

from django.contrib.admin.apps import AdminConfig


class LoaAdminConfig(AdminConfig):
    """Makes `django.contrib.admin.site` ours, so that every app registers with it without knowing this package."""

    default_site = "loa_site.admin_site.LoaAdminSite"
