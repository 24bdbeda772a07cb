"""Figures of matrices: distances between sets, and correlations by layer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Unpack

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from consonance import tables
from consonance.errors import InputError
from consonance.plots.board import (
    GLYPH,
    LEADING,
    POINTS,
    Board,
    figure,
    in_order,
    layer_label,
    short_numbers,
    span,
    wrap,
)
from consonance.plots.style import PALE, Dress

DISTANCES = "viridis"
CORRELATIONS = "RdBu_r"
LARGEST = 4.6
"""Inches of the side of a map at most."""
SMALLEST = 5.0
"""Font size in points below which numbers in cells are left out."""
DISTANCE_WORDS = {"fad": "FAD (squared distance)", "fad_relative": "FAD over total variance"}


@figure
def fad_matrix(
    table: pd.DataFrame,
    *,
    level: Literal["frames", "clips"],
    layers: Sequence[int],
    value: Literal["fad", "fad_relative"] = "fad",
    **dress: Unpack[Dress],
) -> Figure:
    """Distances between all domain-emotion sets as heat maps.

    Several layers are columns and models rows; a single layer of several models is a row of maps.

    Sets are ordered by domain, then emotion. Every map has its own colours: raw distances of
    different models or layers are not comparable. The diagonal, 0 by definition, is left empty.
    Numbers are written where they are legible.

    Args:
        table: what `summaries.fad_matrix` returns.
        level: distances of frames or of clip means.
        layers: the layers to show.
        value: the distance, or the distance over the total variance of both sets.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or there is nothing to draw.
    """
    sides = ["domain_a", "emotion_a", "domain_b", "emotion_b"]
    tables.require(table, ["model", "level", "layer", *sides, value], what="fad_matrix")
    part = table[(table["level"] == level) & table["layer"].isin(layers)]
    if part.empty:
        raise InputError(
            f"The table holds no distances of {level} for layer {', '.join(map(str, layers))}."
        )
    order = dress.get("order", {})
    sets = _sets(part, order)
    models = list(in_order(part, "model", order))
    # A single layer of several models reads better side by side than in a tall column.
    single = len(layers) == 1
    words = {layer: f"Layer {layer}" for layer in layers}
    rows, columns = ([""], models) if single else (models, list(words.values()))
    board, side = _map_board(rows, columns, sets, dress)
    maps = {}
    for model in models:
        for layer in layers:
            one = part[(part["model"] == model) & (part["layer"] == layer)]
            maps["" if single else model, model if single else words[layer]] = one
    grids = {key: _grid(one, sets, value) for key, one in maps.items()}
    grids = {key: grid for key, grid in grids.items() if np.isfinite(grid).any()}
    if not grids:
        raise InputError(f"No pair of different sets has a value of {value} to draw.")
    size = _cell_font(grids.values(), cell=side / len(sets) * POINTS, largest=board.style.small)
    for key, axes in board.axes.items():
        if key not in grids:
            board.no_data(axes)
            continue
        down, across = board.place_of[key]
        grid = grids[key]
        mesh = _mesh(axes, grid, DISTANCES, np.nanmin(grid), np.nanmax(grid))
        axes.set_box_aspect(1)
        _part_domains(axes, sets)
        _name_sets(axes, sets, board, side, x=(down + 1, across) not in board.places, y=not across)
        if size >= SMALLEST:
            _write_cells(axes, mesh, grid, size)
        beside = axes.inset_axes((1.03, 0, 0.05, 1))
        bar = board.figure.colorbar(mesh, cax=beside, format=short_numbers())
        bar.ax.tick_params(labelsize=board.style.small, length=2)
        bar.outline.set_visible(False)
    board.name_panels(columns)
    if not single:
        board.name_rows("", show_row=True)
        for (_, across), axes in board.places.items():
            if not across:
                # Room for the names of the domains between the emotions and the model.
                axes.yaxis.labelpad = LEADING * board.style.small + 6
    which = f"{words[layers[0]]}. " if single else ""
    own = "; each map has its own scale" if len(board.axes) > 1 else ""
    return board.finish(xlabel=f"{which}Colour: {DISTANCE_WORDS[value]}{own}")


@figure
def rank_correlation_heatmap(table: pd.DataFrame, **dress: Unpack[Dress]) -> Figure:
    """Rank correlation of acoustic features with a measure, by layer; a panel per model.

    Negative cells carry a minus sign, because the two ends of the colours look alike in black and
    white.

    Args:
        table: columns model, layer, feature and correlation (-1 to 1); cells whose `significant`
            is true are outlined, where that column exists.
        **dress: see `Dress`; say in `note` what the outline means and how weak the test is.

    Raises:
        InputError: if a column is missing or there is nothing to draw.
    """
    tables.require(
        table, ["model", "layer", "feature", "correlation"], what="rank_correlation_heatmap"
    )
    order = dress.get("order", {})
    models = list(in_order(table, "model", order))
    features = list(in_order(table, "feature", order))
    style = dress["style"]
    height = 0.4 + 1.5 * style.font_size / POINTS * len(features)
    board = Board([""], models, dress, panel_height=height)
    spans, mesh = {}, None
    for (_, model), axes in board.axes.items():
        one = table[table["model"] == model]
        low, high = spans["", model] = span(one["layer"])
        layers = np.arange(low, high + 1)
        grid = _pivot(one, "correlation").reindex(index=features, columns=layers).to_numpy(float)
        mesh = _mesh(axes, grid, CORRELATIONS, -1, 1, first=low)
        for i, j in zip(*np.nonzero(grid < 0), strict=True):
            colour = _ink(mesh, grid[i, j])
            minus = "\N{MINUS SIGN}"
            size = 0.75 * style.small
            axes.text(j + low, i, minus, ha="center", va="center", fontsize=size, color=colour)
        if "significant" in table.columns:
            marked = _pivot(one, "significant").reindex(index=features, columns=layers)
            for i, j in zip(*np.nonzero(marked.eq(True).to_numpy()), strict=True):
                corner = (j + low - 0.42, i - 0.42)
                axes.add_patch(
                    Rectangle(corner, 0.84, 0.84, fill=False, edgecolor="black", linewidth=1.3)
                )
        axes.set_yticks(range(len(features)), [board.label(name) for name in features])
        axes.tick_params(axis="y", length=0)
    board.layers(spans)
    for (_, across), axes in board.places.items():
        axes.tick_params(labelleft=not across)
    board.name_panels(models)
    bar = board.figure.colorbar(
        mesh,
        ax=list(board.axes.values()),
        aspect=25,
        pad=0.02,
        shrink=0.9,
        ticks=[-1, -0.5, 0, 0.5, 1],
    )
    bar.ax.tick_params(labelsize=style.small, length=2)
    bar.outline.set_visible(False)
    bar.set_label("Rank correlation (Spearman)", fontsize=style.small)
    return board.finish(xlabel=layer_label(spans))


def _map_board(
    rows: Sequence[str],
    columns: Sequence[str],
    sets: Sequence[tuple[str, str]],
    dress: Dress,
) -> tuple[Board, float]:
    """Returns a board for square maps of sets, and the side of a map in inches.

    Names of sets stand at the left edge and below the last row only; each map has its own colour
    bar beside it.
    """
    style, labels = dress["style"], dress.get("labels", {})
    longest = max(len(labels.get(emotion, emotion)) for _, emotion in sets)
    names = (GLYPH * style.small * (longest + 1) + 3 * LEADING * style.small) / POINTS
    row_name = 0.25 if any(rows) else 0.0
    bar = 6 * style.small / POINTS

    def side(across: int) -> float:
        return min((style.width - names - row_name) / across - bar, LARGEST)

    # As many side by side as leave each set a line of its own.
    needed = 1.2 * style.small * len(sets) / POINTS
    fits = [n for n in range(1, style.columns + 1) if side(n) >= needed]
    board = Board(rows, columns, dress, at_most=max(fits, default=1), below=names)
    chosen = side(board.across)
    board.panel_height = chosen + 2.4 * style.font_size / POINTS
    board.width = names + row_name + board.across * (chosen + bar)
    return board, chosen


def _sets(frame: pd.DataFrame, order: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Returns the domain-emotion sets of both sides, by domain, then emotion."""
    sides = [
        frame[[f"domain_{side}", f"emotion_{side}"]].set_axis(["domain", "emotion"], axis=1)
        for side in ("a", "b")
    ]
    both = pd.concat(sides).drop_duplicates()
    known = set(both.itertuples(index=False, name=None))
    return [
        (domain, emotion)
        for domain in in_order(both, "domain", order)
        for emotion in in_order(both, "emotion", order)
        if (domain, emotion) in known
    ]


def _grid(frame: pd.DataFrame, sets: Sequence[tuple[str, str]], value: str) -> np.ndarray:
    """Returns the matrix between sets; NaN on the diagonal and where the table has no row.

    Raises:
        InputError: if a pair of sets occurs twice.
    """
    if frame.duplicated(["domain_a", "emotion_a", "domain_b", "emotion_b"]).any():
        raise InputError(
            "A cell of the matrix has several values; select one corpus before drawing it."
        )
    place = {name: position for position, name in enumerate(sets)}
    grid = np.full((len(sets), len(sets)), np.nan)
    for row in frame.itertuples():
        at = place[row.domain_a, row.emotion_a], place[row.domain_b, row.emotion_b]
        grid[at] = getattr(row, value)
    # The zeros of the diagonal say nothing and would take up half of the colours.
    np.fill_diagonal(grid, np.nan)
    return grid


def _pivot(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """Returns features by layers.

    Raises:
        InputError: if a cell occurs twice.
    """
    if frame.duplicated(["feature", "layer"]).any():
        raise InputError(
            "A cell of the heat map has several values; select one level and measure first."
        )
    return frame.pivot(index="feature", columns="layer", values=value)


def _mesh(
    axes: Axes, grid: np.ndarray, colours: str, low: float, high: float, *, first: int = 0
) -> QuadMesh:
    """Draws cells, row 0 on top, the first column at x = `first`; empty cells are pale."""
    axes.set_facecolor(PALE)
    mesh = axes.pcolormesh(
        np.arange(grid.shape[1] + 1) + first - 0.5,
        np.arange(grid.shape[0] + 1) - 0.5,
        np.ma.masked_invalid(grid),
        cmap=matplotlib.colormaps[colours],
        vmin=low,
        vmax=high,
        edgecolors="white",
        linewidth=0.3,
    )
    axes.set_ylim(grid.shape[0] - 0.5, -0.5)
    for side in axes.spines.values():
        side.set_visible(False)
    return mesh


def _part_domains(axes: Axes, sets: Sequence[tuple[str, str]]) -> None:
    """Draws a white line between the domains."""
    for position in range(1, len(sets)):
        if sets[position][0] != sets[position - 1][0]:
            axes.axhline(position - 0.5, color="white", linewidth=2.5)
            axes.axvline(position - 0.5, color="white", linewidth=2.5)


def _name_sets(
    axes: Axes, sets: Sequence[tuple[str, str]], board: Board, side: float, *, x: bool, y: bool
) -> None:
    """Writes emotions, and beyond them domains, below (x) and to the left (y)."""
    style = board.style
    names = [board.label(emotion) for _, emotion in sets]
    axes.tick_params(length=0)
    axes.set_xticks(range(len(sets)), names if x else [""] * len(sets), rotation=90)
    axes.set_yticks(range(len(sets)), names if y else [""] * len(sets))
    renderer = board.figure.canvas.get_renderer()
    scale = POINTS / board.figure.dpi
    room = {
        "x": max(text.get_window_extent(renderer).height for text in axes.get_xticklabels()),
        "y": max(text.get_window_extent(renderer).width for text in axes.get_yticklabels()),
    }
    domains = [domain for domain, _ in sets]
    for domain in dict.fromkeys(domains):
        at = [position for position, name in enumerate(domains) if name == domain]
        middle = (at[0] + at[-1]) / 2
        inches = side * len(at) / len(sets)
        look = {
            "text": wrap(board.label(domain), inches=inches, size=style.small),
            "textcoords": "offset points",
            "fontsize": style.small,
            "fontweight": "bold",
        }
        if x:
            axes.annotate(
                xy=(middle, 0),
                xycoords=("data", "axes fraction"),
                xytext=(0, -scale * room["x"] - 5),
                ha="center",
                va="top",
                **look,
            )
        if y:
            axes.annotate(
                xy=(0, middle),
                xycoords=("axes fraction", "data"),
                xytext=(-scale * room["y"] - 5, 0),
                ha="right",
                va="center",
                rotation=90,
                **look,
            )


def _cell_font(grids: Iterable[np.ndarray], *, cell: float, largest: float) -> float:
    """Returns the font size at which every number of the maps fits its cell (points)."""
    longest = max(len(_short(x)) for grid in grids for x in grid[np.isfinite(grid)])
    return min(largest, cell / ((longest + 0.5) * GLYPH))


def _write_cells(axes: Axes, mesh: QuadMesh, grid: np.ndarray, size: float) -> None:
    """Writes the numbers into the cells."""
    for i, j in zip(*np.nonzero(np.isfinite(grid)), strict=True):
        text, colour = _short(grid[i, j]), _ink(mesh, grid[i, j])
        axes.text(j, i, text, ha="center", va="center", fontsize=size, color=colour)


def _ink(mesh: QuadMesh, value: float) -> str:
    """Returns black or white, whichever has more contrast on the cell's colour (WCAG 2)."""
    channels = np.asarray(mesh.cmap(mesh.norm(value))[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"


def _short(number: float) -> str:
    """Returns a number with two significant digits, and at most three decimals."""
    return f"{number:.{min(3, tables.decimals(number, 2))}f}"
