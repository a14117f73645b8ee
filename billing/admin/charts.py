"""Bar charts drawn on the server: rectangles with classes, so that the policy needs no exception and the theme applies.

The drawing stretches to the width it is given; words and figures stand beside it as text, and the same figures are in a
table below it for those who do not see bars.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

HEIGHT = 160
SLOT = 30  # width of one column's place, of which the bar takes BAR
BAR = 22
CLASSES = ("bar-first", "bar-second", "bar-third")


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a chart: a figure per column."""

    name: str
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Bar:
    x: int
    y: float
    height: float
    shade: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns of stacked series. `write` turns a figure into words."""

    title: str
    labels: Sequence[str]
    series: Sequence[Series]
    write: Callable[[int], str] = "{:,}".format
    labels_are: str = "Hour (UTC)"

    @property
    def width(self) -> int:
        return SLOT * len(self.labels)

    @property
    def height(self) -> int:
        return HEIGHT

    @property
    def top(self) -> int:
        """The round figure at the top of the scale."""
        highest = max((sum(column) for column in zip(*(one.values for one in self.series), strict=True)), default=0)
        return round_up(highest)

    @property
    def top_label(self) -> str:
        return self.write(self.top)

    @property
    def bars(self) -> Iterator[Bar]:
        """Every visible rectangle, from the axis upwards."""
        for position in range(len(self.labels)):
            y = float(HEIGHT)
            for series, shade in zip(self.series, CLASSES, strict=False):
                height = series.values[position] * HEIGHT / self.top
                if height:
                    y -= height
                    yield Bar(position * SLOT + (SLOT - BAR) // 2, round(y, 2), round(height, 2), shade)

    @property
    def key(self) -> Sequence[tuple[str, str]]:
        """Class and name of each series."""
        return tuple((shade, series.name) for shade, series in zip(CLASSES, self.series, strict=False))

    @property
    def table(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Label and written figures of each column that has any."""
        for position, label in enumerate(self.labels):
            figures = [series.values[position] for series in self.series]
            if any(figures):
                yield label, tuple(self.write(figure) for figure in figures)

    @property
    def is_empty(self) -> bool:
        return not any(any(series.values) for series in self.series)


def round_up(figure: int) -> int:
    """The next 1, 2 or 5 times a power of ten; at least 1.

    >>> [round_up(figure) for figure in (0, 1, 3, 12, 50, 51, 999)]
    [1, 1, 5, 20, 50, 100, 1000]
    """
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= figure:
                return step * power
        power *= 10
