"""The addresses of the wizard, below /onboarding/."""

from django.urls import path

from loa_site.agents import onboarding

urlpatterns = [
    path("", onboarding.page, name="onboarding"),
    path("detect", onboarding.detect, name="onboarding-page-detect"),
    path("select", onboarding.select, name="onboarding-page-select"),
    path("personality", onboarding.personality, name="onboarding-page-personality"),
    path("credits", onboarding.credit, name="onboarding-page-credits"),
    path("complete", onboarding.complete, name="onboarding-page-complete"),
]
