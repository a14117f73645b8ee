"""`GET /api/v1/gates/{0..4}`: a gate's criteria with evidence, for whoever may see metrics.

Answers 200 whether the gate holds or not; the verdict is in the document. `Accept: text/plain` gives one line a
criterion, `STATUS<tab>name<tab>detail`, which a shell can read without further programs.
"""

from typing import Final

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from loa_site.gates.criteria import GATE_NAMES, evaluate
from loa_site.gates.outcome import GateReport
from loa_site.health.views import NO_STORE, may_see_metrics
from telemetry.problem import problem_response

TEXT: Final = "text/plain"


@require_safe
@transaction.non_atomic_requests
def gate(request: HttpRequest, number: int) -> HttpResponse:
    """What the gate comes to now."""
    if not may_see_metrics(request):
        return problem_response("authentication_required", detail="Gates need the metrics token.")
    if number not in GATE_NAMES:
        return problem_response("not_found", detail="There are gates 0 to 4.")
    report = evaluate(number)
    if request.headers.get("Accept", "").startswith(TEXT):
        return HttpResponse(lines_of(report), content_type=f"{TEXT}; charset=utf-8", headers=NO_STORE)
    return JsonResponse(report.shown(), headers=NO_STORE)


def lines_of(report: GateReport) -> str:
    """One line a criterion; a detail never breaks its line."""
    return "".join(f"{check.status}\t{check.name}\t{' '.join(check.detail.split())}\n" for check in report.checks)
