"""The addresses of the documents, below /docs/."""

from django.urls import path

from loa_site.api_schema import DocsView
from loa_site.guide import views

urlpatterns = [
    path("", views.reference, name="docs"),
    path("try/", DocsView.as_view(), name="docs-try"),
    path("guide/", views.index, name="guide"),
    path("guide/pictures/<str:name>", views.picture, name="guide-picture"),
    path("guide/<path:slug>", views.page, name="guide-page"),
]
