"""Figures of estimates with intervals."""

from typing import Unpack

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from consonance import tables
from consonance.plots.board import POINTS, Board, figure
from consonance.plots.style import GREY, PALE, Dress

MINUS = "\N{MINUS SIGN}"


@figure
def forest(
    table: pd.DataFrame,
    *,
    xlabel: str,
    reference: float | None = 0.0,
    scale: float = 1.0,
    digits: int = 1,
    **dress: Unpack[Dress],
) -> Figure:
    """Points with intervals, one under the other, for example of paired differences.

    Args:
        table: columns label, estimate, low and high, in the order to show; where they exist,
            group (a heading above its rows), p (written beside the interval) and significant
            (true: a filled point; false: a hollow one).
        xlabel: what the estimate is, with its unit.
        reference: a vertical line, the value of no difference; None for none.
        scale: what estimate and interval are multiplied by, 100 for per cent.
        digits: decimals of the numbers written beside the rows.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or the table is empty.
    """
    tables.require(table, ["label", "estimate", "low", "high"], what="forest")
    style = dress["style"]
    lines: list[tuple[str, pd.Series | None]] = []
    group = None
    for _, row in table.iterrows():
        if row.get("group", "") and row["group"] != group:
            lines.append((row["group"], None))
        group = row.get("group", "")
        lines.append((row["label"], row))
    height = 0.5 + 1.9 * style.font_size / POINTS * len(lines)
    board = Board([""], [""], dress, panel_height=height)
    (axes,) = board.axes.values()
    marked = "significant" in table.columns
    for y, (_, row) in enumerate(lines):
        if row is None:
            continue
        estimate, low, high = (scale * float(row[name]) for name in ("estimate", "low", "high"))
        colour = style.mark(0).colour
        filled = not marked or bool(row["significant"])
        axes.plot([low, high], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
        axes.plot(
            estimate,
            y,
            marker="s",
            markersize=0.6 * style.font_size,
            color=colour,
            markerfacecolor=colour if filled else "white",
        )
        axes.text(
            1.02,
            y,
            _words(estimate, low, high, row.get("p"), digits),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=style.small,
        )
    if reference is not None:
        axes.axvline(scale * reference, color=GREY, linewidth=1.2, zorder=1)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    names = [board.label(name) for name, _ in lines]
    axes.set_yticks(range(len(lines)), names, fontsize=style.small)
    for text, (_, row) in zip(axes.get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if row is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, linewidth=0.5)
    axes.set_axisbelow(True)
    handles = []
    if marked:
        handles = [
            Line2D(
                [],
                [],
                marker="s",
                linestyle="",
                markersize=0.6 * style.font_size,
                color=style.mark(0).colour,
                markerfacecolor=style.mark(0).colour if filled else "white",
                label=label,
            )
            for filled, label in ((True, "Significant"), (False, "Not significant"))
        ]
    return board.finish(xlabel=xlabel, handles=handles)


def _words(estimate: float, low: float, high: float, p: float | None, digits: int) -> str:
    """Returns "estimate [low, high], p = ..."."""
    text = f"{estimate:.{digits}f} "
    text += "[no interval]" if pd.isna(low) else f"[{low:.{digits}f}, {high:.{digits}f}]"
    text = text.replace("-", MINUS)
    if p is None or pd.isna(p):
        return text
    return f"{text}, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
