"""Every address of the site, and which app answers it.

Read top to bottom: pages for people, then the API, then what operators and browsers ask. No pattern ends in an
optional slash: each resource has one address.
"""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from loa_site import public_pages
from loa_site.agents.agent_page import agent
from loa_site.agents.picture import picture
from loa_site.api_schema import SchemaView
from x402.api.discovery import WellKnownView
from x402.api.problem_pages import problem_index, problem_page

api_v1 = [
    path("auth/", include("accounts.api.urls")),
    path("", include("accounts.api.key_urls")),
    path("admin/", include("accounts.api.access_urls")),
    path("", include("inference.api.urls")),
    path("", include("nft.api.urls")),
    path("", include("x402.api.urls")),
    path("", include("loa_site.gates.urls")),
]

urlpatterns = [
    path("", public_pages.landing, name="landing"),
    path("waitlist/", include("waitlist.pages.urls")),
    path("account/", include("loa_site.account.urls")),
    path("onboarding/", include("loa_site.agents.urls")),
    path("agent/<str:collection>/<str:token_id>", agent, name="agent"),
    path("agent/<str:collection>/<str:token_id>/picture", picture, name="agent-picture"),
    path("language", public_pages.choose_language, name="language"),
    path("robots.txt", public_pages.robots, name="robots"),
    path(".well-known/security.txt", public_pages.security_txt, name="security-txt"),
    path("problems/", problem_index, name="problem-index"),
    path("problems/<slug:slug>", problem_page, name="problem-page"),
    path("docs/", include("loa_site.guide.urls")),
    path("admin", RedirectView.as_view(url="/admin/", query_string=True)),
    path("admin/", admin.site.urls),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/v1/", include(api_v1)),
    path("facilitator/", include("x402.api.facilitator_urls")),
    path(".well-known/x402", WellKnownView.as_view(), name="well-known-x402"),
    path("v1/", include("inference.api.openai")),
    path("", include("loa_site.security.urls")),
    path("", include("loa_site.health.urls")),
]

handler400 = "loa_site.problems.bad_request"
handler403 = "loa_site.problems.permission_denied"
handler404 = "loa_site.problems.not_found"
handler500 = "loa_site.problems.server_error"
