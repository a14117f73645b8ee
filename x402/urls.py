"""Everything the package answers, for one line in a project's URLconf: `path("", include("x402.urls"))`.

Sign-in, API keys, payments, receipts and credit below `/api/v1/`, and a page for every problem code.
"""

from django.urls import include, path

from x402.api.problem_pages import problem_index, problem_page

urlpatterns = [
    path("api/v1/auth/", include("accounts.api.urls")),
    path("api/v1/", include("accounts.api.key_urls")),
    path("api/v1/", include("x402.api.urls")),
    path("problems/", problem_index, name="problem-index"),
    path("problems/<slug:slug>", problem_page, name="problem-page"),
]
