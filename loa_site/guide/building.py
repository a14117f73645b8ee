"""The documents as files: every page as the site shows it, with its stylesheets, and a list of links that lead nowhere.

The pages come from the very views that serve them, so that what is checked is what is read.
"""

import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.test import RequestFactory
from django.urls import resolve

from loa_site.guide.pages import pages
from telemetry.problem_codes import PROBLEM_CODES

STATIC_FILES: Final = ("tokens.css", "site.css", "mark.svg")
# Pages of the running site that documents may lead to; they are not part of the built documents.
LIVE: Final = (
    "/",
    "/admin/",
    "/account/",
    "/waitlist/",
    "/waitlist/privacy",
    "/api/schema/",
    "/docs/try/",
    "/language",
)


class _Links(HTMLParser):
    """Where a page leads, and which places it has."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        if facts.get("id"):
            self.places.add(str(facts["id"]))
        for name in ("href", "src"):
            if facts.get(name):
                self.targets.append(str(facts[name]))


def addresses() -> list[str]:
    """Every page that is built."""
    documents = [f"/docs/guide/{slug}" for slug in pages()]
    problems = [f"/problems/{known.slug}" for known in PROBLEM_CODES.values()]
    return ["/docs/", "/docs/guide/", "/problems/", *documents, *problems]


def page_at(address: str) -> str:
    """The page at an address, as a browser without cookies gets it."""
    request = RequestFactory(headers={"host": "localhost"}).get(address)
    found = resolve(address)
    return str(found.func(request, *found.args, **found.kwargs).content.decode())


def build(folder: Path) -> int:
    """Write every page and what it loads below `folder`, which is emptied first; says how many pages."""
    shutil.rmtree(folder, ignore_errors=True)
    for address in addresses():
        file = folder / address.strip("/") / "index.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page_at(address), encoding="utf-8")
    root = Path(settings.BASE_DIR)
    static = folder / "static" / "loa"
    static.mkdir(parents=True, exist_ok=True)
    for name in STATIC_FILES:
        shutil.copy(root / "static" / "loa" / name, static / name)
    shutil.copytree(root / "docs" / "pictures", folder / "docs" / "guide" / "pictures", dirs_exist_ok=True)
    return len(addresses())


def links_of(folder: Path) -> int:
    """How many links the built pages have."""
    return sum(len(parser.targets) for parser in _read(folder).values())


def broken_links(folder: Path) -> list[str]:
    """Links of the built pages that lead to no page, no file and no place on a page."""
    read = _read(folder)
    return sorted(
        f"{page}: {target}"
        for page, parser in read.items()
        for target in parser.targets
        if not _leads(target, page, read, folder)
    )


def _read(folder: Path) -> dict[str, _Links]:
    """The links and places of each built page, by its address."""
    read = {}
    for file in folder.rglob("*.html"):
        parser = _Links()
        parser.feed(file.read_text(encoding="utf-8"))
        read["/" + str(file.parent.relative_to(folder)).strip(".")] = parser
    return read


def _leads(target: str, page: str, read: dict[str, _Links], folder: Path) -> bool:
    parts = urlsplit(target)
    if parts.scheme in ("http", "https", "mailto") or parts.path in LIVE:
        return True  # other hosts are not asked: a check that needs the internet fails for reasons of its own
    path = unquote(parts.path).rstrip("/") or page
    if path in read:
        return not parts.fragment or parts.fragment in read[path].places
    return (folder / path.strip("/")).is_file()
