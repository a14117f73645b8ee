"""Markdown to HTML without markup of its own: raw HTML in a document is shown, not used, so that the policy holds.

Links between files become links between pages; headings get ids; wide tables get a region that scrolls by keyboard.
"""

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.utils.text import slugify
from markdown_it import MarkdownIt
from markdown_it.token import Token

from loa_site.guide.pages import Page, page_at

BASE: Final = "/docs/guide/"
_EXTERNAL: Final = re.compile(r"^(?:[a-z]+:|//|/|#)")


def html_of(page: Page) -> str:
    """The page's body. Links to files that are no page show where the file is in the repository."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(page.text)
    seen: dict[str, int] = {}
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(tokens[place + 1].content, seen))
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("href", _address(str(child.attrGet("href") or ""), page))
            if child.type == "image":
                child.attrSet("src", _picture(str(child.attrGet("src") or ""), page))
    html: str = markdown.renderer.render(_with_regions(tokens), markdown.options, {})
    return html.replace("<pre>", '<pre tabindex="0">')


def _with_regions(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with each table inside a region that can be reached and scrolled by keyboard.

    Each cell carries the heading of its column, which a narrow screen shows beside it.
    """
    written: list[Token] = []
    headings: list[str] = []
    count = column = 0
    for place, token in enumerate(tokens):
        if token.type == "tr_open":
            column = 0
        if token.type == "th_open":
            headings.append(_plain(tokens[place + 1]))
        if token.type == "td_open":
            token.attrSet("data-label", headings[column])
            column += 1
        if token.type == "table_open":
            count += 1
            headings = []
            token.attrSet("class", "books stacked")
            written.append(_html(f'<div class="wide" role="region" aria-label="Table {count}" tabindex="0">\n'))
        written.append(token)
        if token.type == "table_close":
            written.append(_html("</div>\n"))
    return written


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


def _html(content: str) -> Token:
    token = Token("html_block", "", 0)
    token.content = content
    return token


def _anchor(text: str, seen: dict[str, int]) -> str:
    anchor = slugify(text.replace("`", "")) or "part"
    seen[anchor] = seen.get(anchor, 0) + 1
    return anchor if seen[anchor] == 1 else f"{anchor}-{seen[anchor]}"


def _address(href: str, page: Page) -> str:
    if _EXTERNAL.match(href) or page.source is None:
        return href
    path, mark, fragment = href.partition("#")
    file = Path(posixpath.normpath(str(page.source.parent / path)))
    target = page_at(file)
    if target is not None:
        return f"{BASE}{target.slug}{mark}{fragment}"
    root = Path(settings.BASE_DIR)
    if file == root / "docs" / "README.md" or file in (root / "docs", root / "docs" / "adr"):
        return BASE
    if file == root / "docs" / "openapi.yaml":
        return "/api/schema/"
    return BASE  # a file of the repository that is no page


def _picture(source: str, page: Page) -> str:
    return f"{BASE}pictures/{Path(source).name}" if page.source is not None else source


def facts_of(page: Page) -> dict[str, Any]:
    """What the template of a page needs."""
    return {"page": page, "body": html_of(page)}
