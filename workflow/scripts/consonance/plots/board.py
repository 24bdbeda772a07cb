"""The sheet that figures are drawn on: panels in a grid, and strips of words around them."""

import functools
import math
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from consonance.errors import InputError
from consonance.files import replacing
from consonance.plots.style import GREY, Dress, Style, plain

P = ParamSpec("P")

POINTS = 72
"""Points in an inch."""
LEADING = 1.35
"""Height of a line of text over its font size."""
STEPS = (1, 2, 3, 4, 6, 8, 12, 24)
"""Distances between layers with a number at the axis."""
LONE = 1.5
"""How much higher a panel is that has no other beside it."""
GLYPH = 0.56
"""Width of an average character over its font size, for wrapping text before it is drawn."""

# Dates and version strings would make the same figure differ from run to run.
METADATA = {
    ".pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
}


def figure(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Makes a function draw with matplotlib's own defaults."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with plain():
            return draw(*args, **kwargs)

    return drawn


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a figure as .pdf, .svg or .png: the same figure gives the same bytes.

    Raises:
        InputError: if the path ends in anything else.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in METADATA:
        raise InputError(f"A figure cannot be written as {path}; end it in .pdf, .svg or .png.")
    with plain(), replacing(path) as temporary:
        figure.savefig(temporary, format=suffix[1:], metadata=METADATA[suffix], dpi=figure.dpi)


def in_order(
    table: pd.DataFrame, column: str, order: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """Returns the values of a column in drawing order, each with its position among all known.

    The position decides the mark, so that a value looks the same in every figure.
    """
    present = list(dict.fromkeys(table[column]))
    known = list(dict.fromkeys([*order.get(column, ()), *present]))
    return {value: position for position, value in enumerate(known) if value in present}


def wrap(text: str, *, inches: float, size: float) -> str:
    """Breaks text into lines that fit a width at a font size."""
    columns = max(8, int(inches * POINTS / (GLYPH * size)))
    return "\n".join(textwrap.fill(line, columns) for line in text.split("\n"))


class Board:
    """A figure under construction.

    Panels are addressed by (row, column), names of facets. Each row facet takes as many lines of
    the grid as its columns need when they are wrapped.

    Args:
        rows: names of the row facets.
        columns: names of the column facets.
        dress: what every figure accepts (see `Dress`).
        panel_height: height of a panel in inches, if not the style's.
        below: inches below the panels for what hangs below the last row of them.
        at_most: panels side by side at most, if fewer than the style's.

    Attributes:
        width: width of the figure in inches; may be changed before `finish`.
        panel_height: height of a panel in inches; may be changed before `finish`.
        axes: the panels by (row facet, column facet).
        places: the panels by (line, column) of the grid.
        place_of: line and column of the grid by (row facet, column facet).
        row_of: the row facet of each line of the grid.
        down: lines of the grid.
        across: columns of the grid.
    """

    def __init__(
        self,
        rows: Sequence[str],
        columns: Sequence[str],
        dress: Dress,
        *,
        panel_height: float | None = None,
        below: float = 0.0,
        at_most: int | None = None,
    ) -> None:
        self.style: Style = dress["style"]
        self.dress = dress
        lines = math.ceil(len(columns) / min(self.style.columns, at_most or self.style.columns))
        self.across = math.ceil(len(columns) / lines)
        self.down = lines * len(rows)
        # A lone panel as wide as the figure looks flattened at the usual height.
        usual = self.style.panel_height * (LONE if self.across == 1 else 1)
        self.panel_height = panel_height or usual
        self.width = self.style.width
        self.below = below
        self.figure = Figure(
            figsize=(self.width, self.down * self.panel_height),
            dpi=self.style.dpi,
            layout="constrained",
        )
        FigureCanvasAgg(self.figure)
        grid = self.figure.add_gridspec(self.down, self.across)
        self.axes: dict[tuple[str, str], Axes] = {}
        self.places: dict[tuple[int, int], Axes] = {}
        self.place_of: dict[tuple[str, str], tuple[int, int]] = {}
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                place = (i * lines + j // self.across, j % self.across)
                axes = self.figure.add_subplot(grid[place])
                axes.tick_params(labelsize=self.style.small, length=2.5, pad=2)
                axes.tick_params(which="minor", length=1.5)
                self.axes[row, column] = self.places[place] = axes
                self.place_of[row, column] = place
        self.row_of = {i * lines + line: row for i, row in enumerate(rows) for line in range(lines)}

    def label(self, name: str) -> str:
        """Returns the words for a name."""
        return self.dress.get("labels", {}).get(name, name)

    def name_panels(self, columns: Sequence[str]) -> None:
        """Writes the name of its column above each panel, once if columns are not wrapped."""
        wrapped = len(columns) > self.across
        top = self.row_of[0]
        for (row, column), axes in self.axes.items():
            if wrapped or row == top:
                text = wrap(
                    self.label(column),
                    inches=self.width / self.across - 0.3,
                    size=self.style.font_size,
                )
                axes.set_title(text, fontsize=self.style.font_size, pad=3)

    def name_rows(self, ylabel: str | Mapping[str, str], *, show_row: bool) -> None:
        """Writes the y label, and the name of the row above it, at the left edge."""
        for (down, across), axes in self.places.items():
            if across:
                continue
            row = self.row_of[down]
            text = ylabel if isinstance(ylabel, str) else ylabel[row]
            parts = [self.label(row) if show_row else "", text]
            wrapped = [
                wrap(part, inches=self.panel_height - 0.4, size=self.style.font_size)
                for part in parts
                if part
            ]
            axes.set_ylabel("\n".join(wrapped), fontsize=self.style.font_size)

    def layers(self, spans: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """Sets whole-numbered ticks on the layer axes.

        Args:
            spans: first and last layer of each panel that has any.
        """
        if not spans:
            return
        widest = (min(low for low, _ in spans.values()), max(high for _, high in spans.values()))
        digit = 0.75 * self.style.small / POINTS
        for key, axes in self.axes.items():
            low, high = spans.get(key, widest)
            room = (self.width / self.across - 0.65) / (high - low + 1)
            wanted = 1.15 * len(str(high)) * digit
            step = next((step for step in STEPS if step * room > wanted), STEPS[-1])
            axes.set_xticks([k for k in range(low, high + 1) if (high - k) % step == 0])
            axes.set_xticks(range(low, high + 1), minor=True)
            axes.set_xlim(low - 0.5, high + 0.5)
        if len(set(spans.values())) == 1:
            for (down, across), axes in self.places.items():
                if (down + 1, across) in self.places:
                    axes.tick_params(labelbottom=False)

    def share_y(self, limits: tuple[float, float], row: str | None = None) -> None:
        """Gives panels the same y axis and writes its numbers at the left edge only.

        Args:
            limits: of the axis.
            row: the row facet whose panels share it; None for all.
        """
        for (down, across), axes in self.places.items():
            if row is None or self.row_of[down] == row:
                axes.set_ylim(*limits)
                axes.tick_params(labelleft=not across)

    def no_data(self, axes: Axes) -> None:
        """Says in a panel that there is nothing to draw."""
        axes.text(
            0.5,
            0.5,
            "no data",
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=GREY,
            fontsize=self.style.small,
        )
        axes.tick_params(which="both", left=False, bottom=False, labelbottom=False)

    def finish(self, *, xlabel: str = "", handles: Sequence[Artist] = ()) -> Figure:
        """Adds words and legend around the panels and fixes the layout.

        Each strip gets the height that its words need, so that no strip covers another or data.

        Args:
            xlabel: label of all x axes together.
            handles: what the legend shows, with their labels.

        Returns:
            The figure; its layout no longer changes, whatever format it is saved in.
        """
        style, figure = self.style, self.figure
        gap = 0.06
        below: list[tuple[str, float, dict]] = []
        for key, size, colour in (
            ("source", 0.78 * style.font_size, GREY),
            ("note", style.small, "#303030"),
        ):
            if text := self.dress.get(key, ""):
                below.append((text, size, {"color": colour}))
        above = []
        if text := self.dress.get("notice", ""):
            box = {
                "boxstyle": "round,pad=0.4",
                "facecolor": "#FDE7E4",
                "edgecolor": "#B3261E",
                "linewidth": 1.2,
            }
            look = {"color": "#8C1D18", "fontweight": "bold", "bbox": box}
            above.append((text, style.font_size, look, 0.8 * style.font_size / POINTS))
        if text := self.dress.get("title", ""):
            above.append((text, 1.15 * style.font_size, {"fontweight": "bold"}, 0.0))

        legend = self._legend(handles)
        bottom, texts = gap, []
        for text, size, look in below:
            text = self._wrapped(text, size, look)
            texts.append((bottom, text, size, look, "bottom"))
            bottom += _height(text, size) + gap
        legend_at = bottom
        if legend is not None:
            extent = legend.get_window_extent(figure.canvas.get_renderer())
            bottom += extent.height / figure.dpi + gap
        if xlabel:
            texts.append((bottom, xlabel, style.font_size, {}, "bottom"))
            bottom += _height(xlabel, style.font_size) + gap / 2
        top = gap
        for text, size, look, padding in above:
            text = self._wrapped(text, size, look)
            texts.append((-(top + padding / 2), text, size, look, "top"))
            top += _height(text, size) + padding + gap

        height = bottom + self.below + self.down * self.panel_height + top
        figure.set_size_inches(self.width, height)
        for y, text, size, look, side in texts:
            figure.text(
                0.5,
                (y if side == "bottom" else height + y) / height,
                text,
                ha="center",
                va=side,
                fontsize=size,
                **look,
            )
        if legend is not None:
            legend.set_bbox_to_anchor((0.5, legend_at / height), transform=figure.transFigure)
        figure.get_layout_engine().set(
            rect=(0, bottom / height, 1, 1 - (bottom + top) / height),
            w_pad=0.04,
            h_pad=0.04,
        )
        # The second time the sizes of what was moved the first time are known.
        figure.get_layout_engine().execute(figure)
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")
        return figure

    def _wrapped(self, text: str, size: float, look: Mapping) -> str:
        """Breaks text into lines that fit the figure's width, as measured."""
        inches = self.width - 0.3
        while True:
            wrapped = wrap(text, inches=inches, size=size)
            drawn = self.figure.text(0, 0, wrapped, fontsize=size, **look)
            extent = drawn.get_window_extent(self.figure.canvas.get_renderer())
            drawn.remove()
            # A quarter of an inch is left for a box around the words.
            if extent.width <= (self.width - 0.25) * self.figure.dpi or inches < 1:
                return wrapped
            inches -= 0.1

    def _legend(self, handles: Sequence[Artist]):
        """Returns a legend in as few lines as the figure's width allows, or None."""
        if not handles:
            return None
        renderer = self.figure.canvas.get_renderer()
        for columns in range(len(handles), 0, -1):
            legend = self.figure.legend(
                handles=list(handles),
                loc="lower center",
                ncols=columns,
                frameon=False,
                fontsize=self.style.small,
                handlelength=3.2,
                columnspacing=1.4,
                borderpad=0.2,
                borderaxespad=0,
                labelspacing=0.3,
            )
            width = legend.get_window_extent(renderer).width / self.figure.dpi
            # Full lines only: a last line of one entry looks forgotten, so columns are evened out.
            even = columns == math.ceil(len(handles) / math.ceil(len(handles) / columns))
            if columns == 1 or (even and width <= self.width - 0.1):
                return legend
            legend.remove()
        return None


def short_numbers() -> FuncFormatter:
    """Returns a format of ticks without a common factor: 0.02, 15, 150000, 2e+06."""
    return FuncFormatter(lambda number, _: f"{number:.6g}".replace("-", "\N{MINUS SIGN}"))


def _height(text: str, size: float) -> float:
    """Returns the height of text in inches."""
    return (text.count("\n") + 1) * LEADING * size / POINTS


def span(layers: pd.Series) -> tuple[int, int]:
    """Returns the first and last layer."""
    return int(layers.min()), int(layers.max())


def by_whole_layers(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of one line by layer, with empty rows where a layer is missing.

    Raises:
        InputError: if a layer occurs twice.
    """
    if frame["layer"].duplicated().any():
        raise InputError(
            "A line of the figure has several values for one layer; "
            "select one corpus, metric, level or scheme first."
        )
    low, high = span(frame["layer"])
    return frame.set_index("layer").reindex(np.arange(low, high + 1))


def layer_label(spans: Mapping[tuple[str, str], tuple[int, int]]) -> str:
    """Returns the label of the layer axes.

    Args:
        spans: for each panel the lowest and the highest layer. A range that all share is named, and
            so is the encoder's input where there is one.
    """
    ranges = set(spans.values())
    if any(low < 1 for low, _ in ranges):
        return "Layer (0: encoder input; then output of transformer block)"
    if len(ranges) == 1:
        ((low, high),) = ranges
        return f"Layer ({low}\N{EN DASH}{high}; output of transformer block)"
    return "Layer (output of transformer block)"
