"""A titled table of rows that belong to a page: postings of a journal, attempts of a payment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from django.utils.text import slugify

Cell = str | int


class Pages(Protocol):
    """Where the next newer and the next older page are; an empty address where there is none."""

    @property
    def newer_url(self) -> str: ...

    @property
    def older_url(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading; figures stand to the right so that their digits line up."""

    title: str
    is_figure: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Rows are cells that are already written for people; `foot` rows hold sums."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    when_empty: str = "None."
    foot: Sequence[Sequence[Cell]] = field(default=())
    pages: Pages | None = None

    @property
    def anchor(self) -> str:
        """The heading's id, for links and for the region's name."""
        return f"section-{slugify(self.title)}"

    @property
    def cells(self) -> Iterator[Sequence[tuple[Column, Cell]]]:
        """Each row as pairs of column and cell."""
        return (tuple(zip(self.columns, row, strict=True)) for row in self.rows)

    @property
    def foot_cells(self) -> Iterator[Sequence[tuple[Column, Cell]]]:
        """Each sum row as pairs of column and cell."""
        return (tuple(zip(self.columns, row, strict=True)) for row in self.foot)


@dataclass(frozen=True, slots=True)
class Link:
    """A way from one page to a related one."""

    text: str
    url: str
