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
# Documents that a test follows block by block.
RUN_BY: Final = {
    "docs/tutorial/charge-for-a-view.md": "tests/docs/test_tutorial.py",
    "docs/how-to/charge-for-a-view.md": "tests/packaging/test_charge_for_a_view.py",
    "docs/how-to/openai-client.md": "tests/inference/test_openai_client.py",
    "docs/reference/decorator.md": "tests/packaging/test_reference.py",
}
UNEXPLAINED: Final = "it is there to be read"
# Why nothing executes the other blocks of a document.
NOT_RUN: Final = {
    "README.md": "the two commands are what CI runs, the view is made by a test, and the JavaScript is the middle of "
    "`examples/pay.ts`, by which `make interop` pays",
    "docs/how-to/api-keys.md": "the shape of two calls to a site with a domain; `tests/accounts` makes and uses keys",
    "docs/how-to/archive-and-retain.md": "the commands alone, by the clock of an operator",
    "docs/how-to/backup-and-restore.md": "it wants a server and its archive; `tests/drill` restores one of its own",
    "docs/how-to/database-roles.md": "it changes roles of a server in production",
    "docs/how-to/go-to-mainnet.md": "it moves real money",
    "docs/how-to/onboard-holders.md": "it needs a collection and a key of Alchemy; `tests/browser` walks the pages",
    "docs/how-to/reconcile.md": "the command alone; `tests/x402/test_reconciliation.py` runs it in each situation",
    "docs/how-to/refund.md": "two people and a stray deposit; `tests/x402/test_treasury.py` plays them",
    "docs/how-to/run-a-facilitator.md": "a variable of another server",
}
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
    """Which fenced examples are executed, by what, and which are not, with the reason."""
    rows: list[str] = []
    left: list[str] = []
    for document, blocks in fenced_blocks().items():
        marked = [text for info, text in blocks if info.split()[-1:] == [RUN]]
        others = [text for info, text in blocks if info.split()[-1:] != [RUN]]
        runner = RUN_BY.get(document, "")
        rows.append(
            f"| {document} | {len(marked)} | {runner and f'{len(others)}, `{runner}`'} | {_left(runner, others)} |"
        )
        if others and not runner:
            left += [f"- **{document}**: {NOT_RUN.get(document, UNEXPLAINED)}."]
            left += [f"    - `{text.strip().splitlines()[0][:90]}`" for text in others]
    text = (
        "A fenced block marked `test` is executed by `make docs`. Other documents are followed block by block by a "
        "test of their own. What is left needs a cloud account, a domain or money on a main network, or is there to be "
        "read."
    )
    head = (
        "# Examples that are not run",
        "",
        text,
        "",
        "| document | marked | by its own test | not run |",
        "|---|---|---|---|",
    )
    return "\n".join((*head, *rows, "", "## What is not run, and why", "", *left, ""))


def fenced_blocks() -> dict[str, list[tuple[str, str]]]:
    """The fenced blocks of each document that has any: what stands behind the fence, and the text."""
    root = Path(settings.BASE_DIR)
    paths = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    found = {str(path.relative_to(root)): FENCE.findall(path.read_text(encoding="utf-8")) for path in paths}
    return {document: blocks for document, blocks in found.items() if blocks}


def _left(runner: str, others: list[str]) -> int:
    return 0 if runner else len(others)


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
