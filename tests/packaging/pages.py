"""A how-to page as a program: its fenced blocks, in the order a reader follows them."""

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(?P<language>\w+)(?P<words>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. With a `title` it belongs to that file; `background` commands go on running."""

    language: str
    text: str
    title: str
    background: bool


def blocks_of(page: Path) -> list[Block]:
    return [
        Block(
            language=match["language"],
            text=match["text"],
            title=title[1] if (title := TITLE.search(match["words"])) else "",
            background="background" in match["words"],
        )
        for match in FENCE.finditer(page.read_text())
    ]
