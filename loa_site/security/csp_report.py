"""POST /api/v1/csp-report: browsers tell what the content security policy stopped.

In this order: rate limit (429), media type (415), announced length (413), read at most one byte beyond 10 KiB (413),
parse (400), one log event and one count per violation, 204. What extensions of the browser cause is counted and left
out; a flood is logged as a sample and kept as one row (`report_groups`). Source: sprint plan 13.2.
"""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from accounts import throttles
from loa_site.security import report_groups
from loa_site.security.csp_reports import (
    MEDIA_TYPES,
    REPORT_BYTES_MAX,
    InvalidReport,
    Violation,
    directive_name,
    is_noise,
    violations_of,
)
from loa_site.security.policy import DIRECTIVES
from telemetry import names
from telemetry.logging import get_logger, log_metric
from telemetry.metrics import bounded, counter
from telemetry.problem import problem_response

BUCKET: Final = "csp_report"
KNOWN_DIRECTIVES: Final = frozenset(DIRECTIVES) | {
    f"{kind}-src-{part}" for kind in ("script", "style") for part in ("attr", "elem")
}

log = get_logger(__name__)
_violations = counter(names.CSP_VIOLATIONS, "Violations of the policy, by directive.", labels=("directive",))
_ignored = counter(names.CSP_REPORTS_IGNORED, "Violations caused by extensions of the browser.")
_refused = counter(names.CSP_REPORTS_REFUSED, "Reports that were not taken, by status.", labels=("status",))


@csrf_exempt
def csp_report(request: HttpRequest) -> HttpResponse:
    """Take a report: 204. Browsers send no CSRF token and no credentials with reports."""
    if request.method != "POST":
        return problem_response("method_not_allowed", headers={"Allow": "POST"})
    verdict = throttles.check_client(BUCKET, request)
    if not verdict.allowed:
        return _counted(problem_response("rate_limited", retry_after_seconds=verdict.retry_after_seconds))
    if request.content_type not in MEDIA_TYPES:
        return _refuse("unsupported_media_type", detail="Send application/csp-report or application/reports+json.")
    if _announced_length(request) > REPORT_BYTES_MAX:
        return _refuse("payload_too_large", detail=f"A report is at most {REPORT_BYTES_MAX} bytes.")
    try:
        body = request.read(REPORT_BYTES_MAX + 1)
    except (UnreadablePostError, OSError):
        return _refuse("invalid_csp_report", detail="The body ended before it was complete.")
    if len(body) > REPORT_BYTES_MAX:
        return _refuse("payload_too_large", detail=f"A report is at most {REPORT_BYTES_MAX} bytes.")
    try:
        violations = violations_of(body)
    except InvalidReport as error:
        return _refuse("invalid_csp_report", detail=str(error))
    for violation in violations:
        if is_noise(violation):
            _ignored.inc()
            continue
        _violations.labels(directive=bounded(directive_name(violation.violated_directive), KNOWN_DIRECTIVES)).inc()
        report_groups.keep(violation)
        if report_groups.may_log():
            _log(violation)
    return HttpResponse(status=204)


def _log(violation: Violation) -> None:
    log_metric(
        log,
        names.CSP_VIOLATION,
        level="warning",
        document_uri=violation.document_uri,
        violated_directive=violation.violated_directive,
        blocked_uri=violation.blocked_uri,
    )


def _announced_length(request: HttpRequest) -> int:
    announced = request.META.get("CONTENT_LENGTH") or "0"
    is_readable = announced.isascii() and announced.isdigit() and len(announced) < 19
    return int(announced) if is_readable else REPORT_BYTES_MAX + 1


def _refuse(code: str, *, detail: str) -> HttpResponse:
    return _counted(problem_response(code, detail=detail))


def _counted(refusal: HttpResponse) -> HttpResponse:
    _refused.labels(status=str(refusal.status_code)).inc()
    return refusal
