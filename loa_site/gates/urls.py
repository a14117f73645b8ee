"""Where gates are asked, below `/api/v1/`."""

from django.urls import path

from loa_site.gates import views

urlpatterns = [path("gates/<int:number>", views.gate, name="gate")]
