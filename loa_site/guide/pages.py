"""Which documents there are: files under docs/ by their path, and reference pages that are made from the code.

A made page cannot be out of date: settings come from the table that reads them, commands from the commands, events and
metrics from the names the code logs by. Paths of pages are those of files without `.md`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings

from loa_site.guide import from_code

# The order in which somebody learns: try it, do it, look it up, understand it.
PARTS: Final = (
    ("tutorial", "Tutorial", "Begin here: ten minutes on your own machine, with a chain that costs nothing."),
    ("how-to", "How to", "You know what you want done. One page for each."),
    ("reference", "Reference", "What there is, exactly. Much of it is written by the code itself."),
    ("why", "Why it is so", "What may go wrong, what was done about it, and which test shows it."),
    ("adr", "Decisions", "What was decided, and what follows from it. One page each, never edited."),
)
# How-tos in the order in which a project meets them; what is not named here comes after, by its name.
ORDER: Final = (
    *("how-to/charge-for-a-view", "how-to/refund", "how-to/api-keys", "how-to/openai-client", "how-to/webhooks"),
    *("how-to/staff", "how-to/reconcile", "how-to/run-a-facilitator", "how-to/onboard-holders", "how-to/scale-out"),
    *("how-to/deploy", "how-to/backup-and-restore"),
    *("how-to/go-to-mainnet", "reference/decorator", "reference/settings", "reference/environment"),
    *("reference/commands", "reference/checks", "reference/problems", "reference/events", "reference/metrics"),
)
WHY: Final = (
    "THREAT_MODEL",
    "FAULT_MODEL",
    "ASVS",
    "payment-faults",
    "ledger-faults",
    "states",
    "scaling",
    "DEPENDENCIES",
    "SPRINT_PLAN",
)
LEFT_OUT: Final = frozenset({"README"})
FROM_CODE: Final[Mapping[str, tuple[str, Callable[[], str]]]] = {
    "reference/settings": ("Settings", from_code.settings_page),
    "reference/commands": ("Commands", from_code.commands_page),
    "reference/events": ("Events in the log", from_code.events_page),
    "reference/metrics": ("Metrics", from_code.metrics_page),
    "reference/problems": ("Problems", from_code.problems_page),
    "reference/not-run": ("Examples that are not run", from_code.not_run_page),
}


@dataclass(frozen=True, slots=True)
class Page:
    """One document: its path below /docs/guide/, its title, and where its text comes from."""

    slug: str
    title: str
    part: str
    source: Path | None

    @property
    def text(self) -> str:
        """The document in Markdown."""
        if self.source is not None:
            return self.source.read_text(encoding="utf-8")
        return FROM_CODE[self.slug][1]()


@cache
def pages() -> dict[str, Page]:
    """Every document by its path, in reading order."""
    root = Path(settings.BASE_DIR) / "docs"
    found = [page for path in sorted(root.rglob("*.md")) if (page := _page_of(path, root)) is not None]
    found += [Page(slug, title, "reference", None) for slug, (title, _) in FROM_CODE.items()]
    security = Path(settings.BASE_DIR) / "SECURITY.md"
    found.append(Page("security", "Security", "why", security))
    return {page.slug: page for page in sorted(found, key=_place_of)}


def contents() -> list[tuple[str, str, list[Page]]]:
    """The title of each part, whom it is for, and its pages."""
    return [(title, words, [page for page in pages().values() if page.part == part]) for part, title, words in PARTS]


def page_at(path: Path) -> Page | None:
    """The page made from a file, for links between files."""
    return next((page for page in pages().values() if page.source == path), None)


def _place_of(page: Page) -> tuple[int, int, str]:
    parts = [part for part, _, _ in PARTS]
    place = ORDER.index(page.slug) if page.slug in ORDER else len(ORDER)
    return parts.index(page.part), place, page.slug.lower()


def _page_of(path: Path, root: Path) -> Page | None:
    slug = str(path.relative_to(root).with_suffix(""))
    if slug in LEFT_OUT:
        return None
    folder = slug.partition("/")[0]
    known = {part for part, _, _ in PARTS} - {"why"}
    part = folder if "/" in slug and folder in known else "why" if slug in WHY else "reference"
    return Page(slug, _title_of(path), part, path)


def _title_of(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            return line.removeprefix("# ").replace("`", "").strip()
    return path.stem.replace("-", " ").capitalize()
