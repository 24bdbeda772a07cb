"""Figures of a value by layer: probes, distances and other measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from consonance import tables
from consonance.errors import InputError
from consonance.plots.board import (
    Board,
    by_whole_layers,
    figure,
    in_order,
    layer_label,
    short_numbers,
    span,
)
from consonance.plots.style import GREY, PALE, WHOLE, Dress, Mark, Style

ALL = "all"
PER_CENT = 100.0
# Hatched, because two kinds of grey could not be told apart in black and white.
NULL = {"facecolor": "none", "edgecolor": "#A0A0A0", "hatch": "////////", "linewidth": 0}
BANDS = {
    "range": "Band: lowest to highest of {seeds} seeds",
    "sd": "Band: \N{PLUS-MINUS SIGN}1 standard deviation over {seeds} seeds",
}


@dataclass(frozen=True)
class Drawn:
    """Which columns of a table are drawn, and how.

    Attributes:
        rows: column whose values are the rows of panels; "" for a single row.
        columns: column whose values are the columns of panels.
        lines: column whose values are the lines of a panel.
        value: column of the line.
        low: column of the lower edge of the band around the line; "" for none.
        high: column of the upper edge.
        floor: column drawn as a dashed line; "" for none.
        null: columns of the edges of a hatched grey band; () for none.
        scale: what values are multiplied by, 100 for per cent.
        same_y: panels that share a y axis: those of the "figure", of a "row", or only the "panel".
        from_zero: the y axis starts at 0.
    """

    rows: str
    columns: str
    lines: str
    value: str
    low: str = ""
    high: str = ""
    floor: str = ""
    null: tuple[str, ...] = ()
    scale: float = 1.0
    same_y: Literal["figure", "row", "panel"] = "figure"
    from_zero: bool = False


@figure
def accuracy_by_layer(
    table: pd.DataFrame,
    *,
    metric: Literal["accuracy", "uar"] = "accuracy",
    panels: Literal["model", "domain"] = "model",
    chance: float | None = None,
    **dress: Unpack[Dress],
) -> Figure:
    """Accuracy of the probes by layer (arXiv 2409.17899, Fig. 1).

    Args:
        table: what `summaries.probe_summary` returns; layer 0 is not drawn.
        metric: accuracy or uar.
        panels: a panel per model with a line per domain, or a panel per domain with a line per
            model. Split schemes are rows of panels.
        chance: the expected score of guessing, a fraction; drawn as a dotted line.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or there is nothing to draw.
    """
    needed = [
        "model",
        "domain",
        "scheme",
        "layer",
        "metric",
        "mean",
        "low",
        "high",
        "seeds",
        "band",
    ]
    tables.require(table, needed, what="accuracy_by_layer")
    part = table[table["metric"] == metric]
    lines = {"model": "domain", "domain": "model"}[panels]
    drawn = Drawn("scheme", panels, lines, "mean", "low", "high", scale=PER_CENT)
    ylabel = {"accuracy": "Accuracy (%)", "uar": "UAR (%)"}[metric]
    return _probe_figure(part, drawn, ylabel, chance, dress)


@figure
def accuracy_by_emotion(
    table: pd.DataFrame,
    *,
    scheme: str,
    chance: float | None = None,
    bands: bool = False,
    **dress: Unpack[Dress],
) -> Figure:
    """Recall of each emotion by layer (arXiv 2409.17899, Fig. 2).

    Args:
        table: what `summaries.probe_summary` returns; layer 0 is not drawn.
        scheme: the split scheme to show.
        chance: the expected score of guessing, a fraction; drawn as a dotted line.
        bands: draw the band over seeds of every emotion; many bands hide one another.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or there is nothing to draw.
    """
    needed = ["model", "domain", "scheme", "layer", "metric", "emotion", "mean"]
    needed += ["low", "high", "seeds", "band"]
    tables.require(table, needed, what="accuracy_by_emotion")
    part = table[(table["metric"] == "recall") & (table["scheme"] == scheme)]
    edges = ("low", "high") if bands else ("", "")
    drawn = Drawn("domain", "model", "emotion", "mean", *edges, scale=PER_CENT)
    return _probe_figure(part, drawn, "Recall (%)", chance, dress)


@figure
def fad_by_layer(
    table: pd.DataFrame,
    *,
    level: Literal["frames", "clips"],
    value: Literal["fad", "fad_relative"] = "fad",
    **dress: Unpack[Dress],
) -> Figure:
    """Fréchet distance between the domains per emotion by layer (arXiv 2409.17899, Fig. 3).

    Every model has its own y axis: raw distances of different models are not comparable.

    Args:
        table: what `summaries.fad_summary` returns; layer 0 is not drawn.
        level: distances of frames (the paper's) or of clip means.
        value: the distance, or the distance over the total variance of both sets.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or there is nothing to draw.
    """
    tables.require(table, ["model", "level", "layer", "emotion", value], what="fad_by_layer")
    part = table[(table["level"] == level) & (table["layer"] >= 1)]
    drawn = Drawn("", "model", "emotion", value, same_y="panel", from_zero=True)
    ylabel = {
        "fad": "FAD (squared distance)",
        "fad_relative": "FAD over total variance",
    }[value]
    return _layer_figure(part, drawn, ylabel, dress)


@figure
def similarity_by_layer(
    table: pd.DataFrame,
    *,
    rows: str = "measure",
    columns: str = "model",
    lines: str = "emotion",
    **dress: Unpack[Dress],
) -> Figure:
    """Measures of similarity by layer with interval, floor and null distribution.

    A line is the value, the band around it its interval, the thin dashed line of the same colour
    the floor (what two halves of one domain give), and the hatched grey band the null (what
    exchanged domain labels give). With several lines in a panel the hatched bands lie over one
    another: for these, prefer emotions as columns and one model per figure.

    Args:
        table: columns model, measure, layer, emotion and value; low and high, floor, null_low and
            null_high are drawn where they exist.
        rows: which of measure, model and emotion the rows of panels are.
        columns: which the columns of panels are.
        lines: which the lines of a panel are.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing, `rows`, `columns` and `lines` are not three different
            ones, or there is nothing to draw.
    """
    facets = {"measure", "model", "emotion"}
    if {rows, columns, lines} != facets:
        raise InputError(
            f"rows, columns and lines are {rows}, {columns} and {lines}; "
            "name each of measure, model and emotion once."
        )
    tables.require(table, [*sorted(facets), "layer", "value"], what="similarity_by_layer")
    has = set(table.columns)
    interval = ("low", "high") if {"low", "high"} <= has else ("", "")
    floor = "floor" if "floor" in has else ""
    null = ("null_low", "null_high") if {"null_low", "null_high"} <= has else ()
    # Values of emotions are comparable with each other, those of models are not.
    same_y = "row" if columns == "emotion" else "panel"
    drawn = Drawn(rows, columns, lines, "value", *interval, floor, null, same_y=same_y)
    extra: list[Artist] = []
    if interval[0]:
        extra.append(Patch(facecolor=GREY, alpha=0.35, label="Band: interval"))
    if floor:
        extra.append(Line2D([], [], color=GREY, linewidth=0.9, dashes=(2, 1.5), label="Floor"))
    if null:
        extra.append(Patch(label="Hatched: null", **NULL))
    # Where measures are the rows, each row's own name is the label of its y axis.
    return _layer_figure(table, drawn, "" if rows == "measure" else "Value", dress, extra)


@figure
def emotion_spread(table: pd.DataFrame, **dress: Unpack[Dress]) -> Figure:
    """How unevenly emotions are recognised, by layer.

    Args:
        table: columns model, domain, layer, statistic (range, sd, worst, ...) and value (a
            fraction); low and high are drawn where they exist, and probe (for example the paper's
            and a class-balanced one) makes a line of each domain and probe.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or there is nothing to draw.
    """
    tables.require(table, ["model", "domain", "layer", "statistic", "value"], what="emotion_spread")
    interval = ("low", "high") if {"low", "high"} <= set(table.columns) else ("", "")
    if "probe" in table.columns:
        labels, order = dress.get("labels", {}), dress.get("order", {})
        pairs = [
            (domain, probe)
            for domain in in_order(table, "domain", order)
            for probe in in_order(table, "probe", order)
        ]
        names = {pair: " / ".join(pair) for pair in pairs}
        shown = {names[pair]: ", ".join(labels.get(x, x) for x in pair) for pair in pairs}
        line = [names[pair] for pair in zip(table["domain"], table["probe"], strict=True)]
        table = table.assign(line=line)
        dress = dress | {"labels": {**labels, **shown}, "order": {**order, "line": [*shown]}}
    else:
        table = table.assign(line=table["domain"])
        order = dress.get("order", {})
        dress = dress | {"order": {**order, "line": order.get("domain", ())}}
    drawn = Drawn("statistic", "model", "line", "value", *interval, scale=PER_CENT, same_y="row")
    extra = [Patch(facecolor=GREY, alpha=0.35, label="Band: interval")] if interval[0] else []
    return _layer_figure(table, drawn, "Recall (%)", dress, extra)


def _probe_figure(
    part: pd.DataFrame, drawn: Drawn, ylabel: str, chance: float | None, dress: Dress
) -> Figure:
    """Draws scores of probes: per cent, a chance line, and words for the band."""
    part = part[part["layer"] >= 1]
    extra: list[Artist] = []
    bands = part.loc[(part["band"] != "") & part["band"].notna(), ["band", "seeds"]]
    if drawn.low and not bands.empty:
        seeds = bands["seeds"]
        many = str(seeds.min()) if seeds.nunique() == 1 else f"{seeds.min()} to {seeds.max()}"
        for band in bands["band"].unique():
            extra.append(Patch(facecolor=GREY, alpha=0.35, label=BANDS[band].format(seeds=many)))
    return _layer_figure(part, drawn, ylabel, dress, extra, chance=chance)


def _layer_figure(
    table: pd.DataFrame,
    drawn: Drawn,
    ylabel: str,
    dress: Dress,
    extra: Sequence[Artist] = (),
    *,
    chance: float | None = None,
) -> Figure:
    """Draws a grid of panels with a value by layer in each."""
    if table.empty or table[drawn.value].isna().all():
        raise InputError(
            f"No row of the table has a value of {drawn.value} to draw for the chosen selection."
        )
    order = dress.get("order", {})
    rows = list(in_order(table, drawn.rows, order)) if drawn.rows else [""]
    columns = list(in_order(table, drawn.columns, order))
    lines = in_order(table, drawn.lines, order)
    board = Board(rows, columns, dress)
    marks = {
        name: WHOLE if name == ALL else board.style.mark(position)
        for name, position in lines.items()
    }
    spans: dict[tuple[str, str], tuple[int, int]] = {}
    extremes: dict[str, list[float]] = {}
    for (row, column), axes in board.axes.items():
        chosen = table[drawn.columns] == column
        if drawn.rows:
            chosen &= table[drawn.rows] == row
        part = table[chosen]
        if part.empty or part[drawn.value].isna().all():
            board.no_data(axes)
            continue
        spans[row, column] = span(part["layer"])
        for name, mark in marks.items():
            one = part[part[drawn.lines] == name]
            if not one.empty:
                _line(axes, by_whole_layers(one), drawn, mark, board.style)
        if chance is not None:
            axes.axhline(drawn.scale * chance, color=GREY, linewidth=1.0, linestyle=":", zorder=1)
        axes.margins(y=0.08)
        if drawn.from_zero:
            axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=PALE, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.yaxis.set_major_formatter(short_numbers())
        extremes.setdefault(row, []).extend(axes.get_ylim())
    board.layers(spans)
    if drawn.same_y == "figure":
        every = [edge for edges in extremes.values() for edge in edges]
        board.share_y(_within(min(every), max(every), drawn.scale))
    elif drawn.same_y == "row":
        for row, edges in extremes.items():
            board.share_y((min(edges), max(edges)), row)
    board.name_panels(columns)
    board.name_rows(ylabel, show_row=bool(drawn.rows))
    handles = [_handle(board.label(name), mark, board.style) for name, mark in marks.items()]
    if chance is not None:
        label = f"Chance ({drawn.scale * chance:.1f} %)"
        handles.append(Line2D([], [], color=GREY, linewidth=1.0, linestyle=":", label=label))
    return board.finish(xlabel=layer_label(spans), handles=[*handles, *extra])


def _line(axes: Axes, frame: pd.DataFrame, drawn: Drawn, mark: Mark, style: Style) -> None:
    """Draws one line with what surrounds it; a missing layer leaves a gap."""
    layers = frame.index.to_numpy()

    def of(name: str) -> np.ndarray:
        return drawn.scale * frame[name].to_numpy(dtype=float)

    if drawn.null:
        low, high = map(of, drawn.null)
        axes.fill_between(layers, low, high, zorder=1, **NULL)
    if drawn.low:
        axes.fill_between(
            layers,
            of(drawn.low),
            of(drawn.high),
            color=mark.colour,
            alpha=0.18,
            linewidth=0,
            zorder=2,
        )
    if drawn.floor:
        axes.plot(
            layers, of(drawn.floor), color=mark.colour, linewidth=0.9, dashes=(2, 1.5), zorder=3
        )
    axes.plot(layers, of(drawn.value), zorder=4, **_look(mark, style))


def _look(mark: Mark, style: Style) -> dict:
    """Returns how matplotlib draws a mark."""
    return {
        "color": mark.colour,
        "linestyle": mark.dashes,
        "linewidth": mark.width,
        "marker": mark.marker or None,
        "markersize": 0.42 * style.font_size * mark.grown,
        "markerfacecolor": mark.colour if mark.filled else "white",
        "markeredgecolor": "white" if mark.filled else mark.colour,
        "markeredgewidth": 0.3 if mark.filled else 0.9,
    }


def _handle(label: str, mark: Mark, style: Style) -> Line2D:
    """Returns the legend's entry of a line."""
    return Line2D([], [], label=label, **_look(mark, style))


def _within(low: float, high: float, scale: float) -> tuple[float, float]:
    """Returns limits of a shared axis that keep within 0 to 100 %, a little air included."""
    air = 0.02 * scale
    return max(low, -air), min(high, scale + air)
