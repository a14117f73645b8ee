"""Probes and metrics, mounted at the root of the site."""

from django.urls import path

from loa_site.health import views

urlpatterns = [
    path("livez", views.livez, name="livez"),
    path("readyz", views.readyz, name="readyz"),
    path("healthz", views.healthz, name="healthz"),
    path("health", views.health, name="health"),
    path("health/deps", views.health_deps, name="health-deps"),
    path("metrics", views.metrics, name="metrics"),
]
