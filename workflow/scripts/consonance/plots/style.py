"""How every figure looks: sizes, colours, dashes and markers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TypedDict

import matplotlib.style

from consonance.errors import InputError

# Okabe and Ito, "Color Universal Design" (2008), without black, which is kept for "all", and with
# the yellow, which is too pale for a line on white, replaced by two greys.
OKABE_ITO = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#4D4D4D",
    "#A6A6A6",
)
BLACK = "#000000"
GREY = "#808080"
PALE = "#D9D9D9"

# Colour alone does not survive black-and-white print: each line also has its dashes and marker.
DASHES = (
    (0, ()),
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1.2)),
    (0, (8, 1.5, 1.2, 1.5, 1.2, 1.5)),
    (0, (2, 2.5)),
    (0, (10, 2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class Mark:
    """What tells one line from another."""

    colour: str
    dashes: tuple[float, tuple[float, ...]]
    marker: str
    filled: bool = True
    width: float = 1.2

    @property
    def grown(self) -> float:
        """How much larger a marker with little ink is drawn, so that all look alike in size."""
        return {"P": 1.35, "X": 1.3, "*": 1.6, "D": 0.9, "^": 1.15, "v": 1.15}.get(self.marker, 1.0)


WHOLE = Mark(BLACK, DASHES[0], "", width=1.8)
"""The mark of the pooled set, "all"."""


@dataclass(frozen=True)
class Style:
    """Sizes and colours of the figures.

    Attributes:
        width: width of a figure in inches (a two-column page is about 7.2 wide).
        dpi: dots per inch of PNG files.
        font_size: size of the labels in points; ticks and legends are a little smaller.
        panel_height: height of a panel in inches.
        columns: panels side by side at most; more are wrapped to the next line.
        palette: colours as "#RRGGBB" in the order in which emotions, models and domains take them.

    Raises:
        InputError: if a size is not positive or a colour is not of that form.
    """

    width: float = 7.2
    dpi: int = 300
    font_size: float = 8.0
    panel_height: float = 1.8
    columns: int = 4
    palette: Sequence[str] = OKABE_ITO

    def __post_init__(self) -> None:
        problems = [
            f"The figure style's {field.name} is {getattr(self, field.name)}; it must be positive."
            for field in fields(self)
            if field.name != "palette" and not getattr(self, field.name) > 0
        ]
        problems += [
            f"The figure style's colour '{colour}' is not of the form #RRGGBB."
            for colour in self.palette
            if not re.fullmatch("#[0-9A-Fa-f]{6}", colour)
        ]
        if not self.palette:
            problems.append("The figure style's palette holds no colour; give at least one.")
        if problems:
            raise InputError(problems)

    @property
    def small(self) -> float:
        """Font size of ticks, legends and annotations in points."""
        return 0.88 * self.font_size

    def mark(self, position: int) -> Mark:
        """Returns the mark of the line at a position; colours, dashes and markers go round."""
        return Mark(
            self.palette[position % len(self.palette)],
            DASHES[position % len(DASHES)],
            MARKERS[position % len(MARKERS)],
            # Every other marker is hollow, which reads in black and white at a glance.
            filled=position % 2 == 0,
        )


class Dress(TypedDict, total=False):
    """What every figure accepts beside its table.

    Attributes:
        style: sizes and colours (required).
        labels: name in the table to words on the figure; a name without an entry is shown itself.
        order: column of the table to its values in the order wanted. Values that are not listed
            follow in the order of the table. A value keeps its colour wherever the list is given,
            whether or not the others occur.
        title: a few words above the figure.
        notice: a warning that nobody may overlook, in a red box at the top, for example
            "Synthetic data: not a finding".
        note: a sentence that belongs to the figure, below it.
        source: a small line at the foot: what the figure was made from.
    """

    style: Style
    labels: Mapping[str, str]
    order: Mapping[str, Sequence[str]]
    title: str
    notice: str
    note: str
    source: str


@contextmanager
def plain() -> Iterator[None]:
    """Applies matplotlib's own defaults, whatever the machine's matplotlibrc says."""
    settings = {
        "svg.hashsalt": "consonance",
        "svg.fonttype": "path",
        "pdf.fonttype": 42,
        "axes.unicode_minus": True,
        "hatch.linewidth": 0.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.style.context(["default", settings]):
        yield
