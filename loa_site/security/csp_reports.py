"""Reading what browsers report about the content security policy. Plain Python: bytes in, violations out.

A report is written by a stranger: addresses lose their query (it may hold secrets) and their user part, control
characters become visible escapes, lengths are bounded. Old browsers send one `csp-report` object with names in
kebab-case, the Reporting API an array of reports with names in camelCase.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

REPORT_BYTES_MAX: Final = 10 * 1024
REPORTS_PER_POST_MAX: Final = 20
TEXT_LENGTH_MAX: Final = 512
UNKNOWN: Final = "unknown"

CSP_REPORT: Final = "application/csp-report"
REPORTS_JSON: Final = "application/reports+json"
MEDIA_TYPES: Final = frozenset({CSP_REPORT, REPORTS_JSON, "application/json"})

# What a browser's own extensions and pages do is not ours to mend.
EXTENSIONS: Final = (
    "chrome-extension",
    "moz-extension",
    "safari-extension",
    "safari-web-extension",
    "ms-browser-extension",
)
NOISE: Final = (*EXTENSIONS, "about", "chrome", "resource", "webkit-masked-url", "edge")

# Each fact and the names browsers give it, the plan's first.
_NAMES: Final = {
    "document_uri": ("document-uri", "documentURI", "documentURL"),
    "violated_directive": ("violated-directive", "effective-directive", "effectiveDirective", "violatedDirective"),
    "blocked_uri": ("blocked-uri", "blockedURI", "blockedURL"),
}


class InvalidReport(ValueError):
    """Raised when a body is not a report in either form."""


@dataclass(frozen=True, slots=True)
class Violation:
    """The three facts that are logged."""

    document_uri: str
    violated_directive: str
    blocked_uri: str
    source_uri: str = ""


def violations_of(body: bytes) -> list[Violation]:
    """The violations in a body, at most twenty; reports of other kinds are left out. Raises InvalidReport."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidReport("The report is not JSON.") from error
    if isinstance(document, dict):
        return [_violation(document.get("csp-report"))]
    if not isinstance(document, list) or not all(isinstance(report, dict) for report in document):
        raise InvalidReport("A report is an object csp-report or an array of reports.")
    return [_violation(report.get("body")) for report in document if report.get("type") == "csp-violation"][
        :REPORTS_PER_POST_MAX
    ]


def is_noise(violation: Violation) -> bool:
    """Whether an extension of the browser caused it.

    >>> is_noise(Violation("https://x.example/", "script-src", "chrome-extension://abc/a.js"))
    True
    """
    addresses = (violation.blocked_uri, violation.document_uri, violation.source_uri)
    return any(address.partition(":")[0].lower() in NOISE for address in addresses)


def directive_name(violated_directive: str) -> str:
    """The name alone; old browsers send the whole directive with its sources.

    >>> directive_name("script-src 'self' https://example.com")
    'script-src'
    """
    return violated_directive.partition(" ")[0].lower()


def without_secrets(address: str) -> str:
    r"""An address that may be logged: no query, no fragment, no user part, control characters escaped.

    >>> without_secrets("https://a:b@x.example/p?token=1#f"), without_secrets("inline"), without_secrets("a\nb")
    ('https://x.example/p', 'inline', 'a\\nb')
    """
    try:
        parts = urlsplit(address.partition("?")[0].partition("#")[0])
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return UNKNOWN
    if parts.scheme in ("data", "blob", "javascript", "filesystem"):
        return parts.scheme  # the rest is content, not an address
    return visible(f"{parts.scheme}://{host}{parts.path}" if host else address.partition("?")[0].partition("#")[0])


def visible(text: str) -> str:
    """A text of bounded length on one line, everything beyond printable ASCII escaped."""
    return text[:TEXT_LENGTH_MAX].encode("unicode_escape").decode("ascii")[:TEXT_LENGTH_MAX]


def _violation(report: object) -> Violation:
    if not isinstance(report, Mapping):
        raise InvalidReport("The report has no body.")
    facts: dict[str, str] = {}
    for fact, spellings in _NAMES.items():
        values = [report[spelling] for spelling in spellings if spelling in report]
        if values and not isinstance(values[0], str):
            raise InvalidReport(f"{fact} is not a text.")
        if values:
            facts[fact] = values[0]
    if not facts:
        raise InvalidReport("The report names no document, no directive and no blocked address.")
    source = report.get("source-file", report.get("sourceFile", ""))
    return Violation(
        document_uri=without_secrets(facts.get("document_uri", UNKNOWN)),
        violated_directive=visible(facts.get("violated_directive", UNKNOWN)),
        blocked_uri=without_secrets(facts.get("blocked_uri", UNKNOWN)),
        source_uri=without_secrets(source) if isinstance(source, str) else "",
    )
