"""Reference pages that the code writes: Markdown from the tables and names that are in force."""

import io
import re
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.management import get_commands, load_command_class

from telemetry import configuration, names
from telemetry.problem_codes import PROBLEM_CODES

FENCE: Final = re.compile(r"^```([^\n`]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN: Final = "test"  # a fenced block whose info string ends in this word is executed by `make docs`
LANGUAGES_THAT_RUN: Final = frozenset({"python", "sh", "bash", "console"})
_COMMENT: Final = re.compile(r'^    "([A-Z0-9_]+)":.*?#\s*(.+)$')


def settings_page() -> str:
    """Every entry of `LOA`, its default, and how it is set."""
    source = Path(str(configuration.__file__)).read_text(encoding="utf-8")
    reasons = {found[1]: found[2] for line in source.splitlines() if (found := _COMMENT.match(line))}
    rows = [
        f"| `LOA_{name}` | {_shown(default)} | {_cell(reasons.get(name, ''))} |"
        for name, default in sorted(configuration.DEFAULTS.items())
    ]
    limits = [f"| `{name}` | {figure} |" for name, figure in sorted(configuration.DEFAULT_RATE_LIMITS.items())]
    return "\n".join(
        (
            "# Settings",
            "",
            "Each is an environment variable; a name that is not in this table refuses to start. Units are in the "
            "names. Lists are separated by commas, tables are JSON.",
            "",
            "| variable | default | note |",
            "|---|---|---|",
            *rows,
            "",
            "## Rate limits",
            "",
            "Entries of `LOA_RATE_LIMITS`: requests a minute.",
            "",
            "| bucket | a minute |",
            "|---|---|",
            *limits,
            "",
        )
    )


def commands_page() -> str:
    """The management commands of our apps, with their own help."""
    ours = [
        (name, app) for name, app in sorted(get_commands().items()) if app in settings.OUR_APPS or app == "loa_site"
    ]
    parts = ["# Commands", "", "`python manage.py NAME`; those that change something know `--dry-run`.", ""]
    for name, app in ours:
        command = load_command_class(app, name)
        written = io.StringIO()
        command.create_parser("manage.py", name).print_help(written)
        parts += [f"## {name}", "", "```text", written.getvalue().rstrip(), "```", ""]
    return "\n".join(parts)


def events_page() -> str:
    """Every event the log may hold."""
    values = sorted({value for name, value in _names().items() if "." in value and name not in ("TRACER_NAME",)})
    return "\n".join(
        (
            "# Events in the log",
            "",
            "One JSON object a line on standard error; `event` is one of these. Signatures, keys, mail addresses "
            "and headers never appear.",
            "",
            *(f"- `{value}`" for value in values),
            "",
        )
    )


def metrics_page() -> str:
    """Every metric, as collected at /metrics."""
    endings = ("_total", "_seconds", "_bytes", "_state", "_pending", "_journals", "_recovery", "_age_seconds")
    values = sorted({value for value in _names().values() if "." not in value and value.endswith(endings)})
    return "\n".join(("# Metrics", "", "Collected at `/metrics`.", "", *(f"- `{value}`" for value in values), ""))


def problems_page() -> str:
    """Every problem code; each has a page of its own."""
    ordered = sorted(PROBLEM_CODES.values(), key=lambda known: (known.status, known.code))
    rows = [f"| {one.status} | [`{one.code}`](/problems/{one.slug}) | {_cell(one.next_step)} |" for one in ordered]
    head = ("# Problems", "", "Errors are RFC 9457 documents with a stable `code`.", "", "| status | code | do next |")
    return "\n".join((*head, "|---|---|---|", *rows, ""))


def not_run_page() -> str:
    """How many fenced examples each document has, and which of them nothing executes."""
    root = Path(settings.BASE_DIR)
    rows = []
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        fences = FENCE.findall(path.read_text(encoding="utf-8"))
        code = [info for info, _ in fences if (info.split() or [""])[0] in LANGUAGES_THAT_RUN]
        run = [info for info in code if info.split()[-1] == RUN]
        if code:
            rows.append(f"| {path.relative_to(root)} | {len(run)} | {len(code) - len(run)} |")
    text = (
        "A fenced block marked `test` is executed by `make docs`. What needs a cloud account, a mail provider or money "
        "on a main network is not run anywhere and is counted here; the snippets of the README and the tutorial are "
        "run by tests of their own."
    )
    head = ("# Examples that are not run", "", text, "", "| document | run | not run |", "|---|---|---|")
    return "\n".join((*head, *rows, ""))


def _names() -> dict[str, str]:
    return {name: value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}


def _shown(default: object) -> str:
    if default in ("", (), {}):
        return "–"
    if isinstance(default, dict | tuple) or "Mapping" in type(default).__name__:
        return "see below" if default is configuration.DEFAULT_RATE_LIMITS else f"`{_cell(str(default))}`"
    return f"`{_cell(str(default))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
