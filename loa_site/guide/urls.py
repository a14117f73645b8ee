"""The addresses of the documents, below /docs/."""

from django.urls import path

from loa_site.guide import views

urlpatterns = [
    path("", views.reference, name="docs"),
    path("try/", views.try_requests, name="docs-try"),
    path("guide/", views.index, name="guide"),
    path("guide/pictures/<str:name>", views.picture, name="guide-picture"),
    path("guide/<path:slug>", views.page, name="guide-page"),
]
