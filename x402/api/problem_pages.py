"""`/problems/`: a page for every code that a problem document can carry, found by the document's `type`."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from telemetry.problem_codes import PROBLEM_CODES, problem_code

SPECIFIED = ("invalid_", "insufficient_", "unsupported_", "missing_", "extension_", "permit2_", "upto_")


def problem_page(request: HttpRequest, slug: str) -> HttpResponse:
    """`/problems/{slug}`: what a code means and what to do. Reasons of the specification have a page as well."""
    code = slug.replace("-", "_")
    known = PROBLEM_CODES.get(code)
    if known is None:
        if not code.startswith(SPECIFIED):
            raise Http404
        known = problem_code(code, status=402)
    return render(request, "problems/problem.html", {"problem": known})


def problem_index(request: HttpRequest) -> HttpResponse:
    """`/problems/`: every code by its status."""
    ordered = sorted(PROBLEM_CODES.values(), key=lambda known: (known.status, known.code))
    return render(request, "problems/index.html", {"problems": ordered})
