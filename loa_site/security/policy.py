"""The content security policy: everything from this site, nothing inline, nothing evaluated, nobody frames us.

It is sent as report-only until `CSP_ENFORCE` is exactly `true`: deploy, read the reports at /api/v1/csp-report, then
enforce. Trusted Types forbid turning text into markup or code in a page; the stock admin does so in scripts we did not
write, so these directives are left out there. Source: sprint plan 13.2.
"""

from typing import Any, Final

REPORT_PATH: Final = "/api/v1/csp-report"
REPORT_GROUP: Final = "csp-endpoint"

SELF: Final = "'self'"
NONE: Final = "'none'"

DIRECTIVES: Final[dict[str, Any]] = {
    "default-src": [SELF],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF, "data:"],  # icons inside compiled stylesheets
    "font-src": [SELF],
    "connect-src": [SELF],
    "object-src": [NONE],
    "frame-src": [NONE],
    "base-uri": [NONE],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
    "require-trusted-types-for": ["'script'"],
    "trusted-types": [NONE],
    "report-uri": [REPORT_PATH],
    "report-to": REPORT_GROUP,
}


# Pages whose third-party scripts write markup from text.
WITHOUT_TRUSTED_TYPES: Final = ("/admin/",)
TRUSTED_TYPES_LEFT_OUT: Final[dict[str, None]] = {"require-trusted-types-for": None, "trusted-types": None}


def csp_settings(*, enforce: bool) -> dict[str, Any]:
    """The settings django-csp reads: the enforcing header or the reporting one, never both."""
    name = "CONTENT_SECURITY_POLICY" if enforce else "CONTENT_SECURITY_POLICY_REPORT_ONLY"
    return {name: {"DIRECTIVES": dict(DIRECTIVES)}}
