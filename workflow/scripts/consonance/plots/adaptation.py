"""Figures of two-stage adaptation."""

from collections.abc import Mapping
from typing import Unpack

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from consonance import tables
from consonance.errors import InputError
from consonance.plots.board import Board, figure, in_order, short_numbers
from consonance.plots.lines import BANDS, PER_CENT, Drawn, _handle, _layer_figure, _look
from consonance.plots.style import GREY, PALE, Dress, Mark

# Panels of dots: inches per line of dots.
LINE = 0.34
INTERVAL = "Line: interval"


@figure
def adaptation_results(table: pd.DataFrame, **dress: Unpack[Dress]) -> Figure:
    """Accuracy by approach, direct and after the other domain (arXiv 2409.17899, Table III).

    Args:
        table: columns model, domain (tested), approach, training (direct, two-stage), value, low,
            high (fractions) and, where it exists, paper_value; one scheme, metric and basis, all
            training clips.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or the table is empty.
    """
    needed = ["model", "domain", "approach", "training", "value", "low", "high"]
    tables.require(table, needed, what="adaptation_results")
    order = dress.get("order", {})
    approaches = list(in_order(table, "approach", order))
    trainings = in_order(table, "training", order)
    columns = list(in_order(table, "model", order))
    height = 0.45 + LINE * len(approaches)
    board = Board(list(in_order(table, "domain", order)), columns, dress, panel_height=height)
    marks = {name: board.style.mark(position) for name, position in trainings.items()}
    papers = "paper_value" in table.columns and table["paper_value"].notna().any()
    for (domain, model), axes in board.axes.items():
        part = table[(table["domain"] == domain) & (table["model"] == model)]
        if part.empty:
            board.no_data(axes)
            continue
        for row in part.itertuples():
            place = list(trainings).index(row.training)
            y = approaches.index(row.approach) + 0.24 * (place - (len(trainings) - 1) / 2)
            mark = marks[row.training]
            axes.plot(
                [PER_CENT * row.low, PER_CENT * row.high], [y, y], color=mark.colour, linewidth=1.2
            )
            axes.plot(PER_CENT * row.value, y, **_dot(mark, board.style.font_size))
            if papers and pd.notna(row.paper_value):
                axes.plot(
                    PER_CENT * row.paper_value, y, marker="|", color="black", markersize=7, zorder=5
                )
        axes.grid(axis="x", color=PALE, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_ylim(len(approaches) - 0.5, -0.5)
    _share_x(board)
    for (_, across), axes in board.places.items():
        axes.set_yticks(range(len(approaches)), [board.label(name) for name in approaches])
        axes.tick_params(axis="y", length=0, labelleft=not across, labelsize=board.style.small)
    board.name_panels(columns)
    board.name_rows("", show_row=True)
    handles = [
        Line2D([], [], label=board.label(name), **_dot(mark, board.style.font_size))
        for name, mark in marks.items()
    ]
    handles.append(Line2D([], [], color=GREY, linewidth=1.2, label=INTERVAL))
    if papers:
        handles.append(
            Line2D([], [], color="black", marker="|", linestyle="", label="Published (one split)")
        )
    return board.finish(xlabel="Accuracy (%)", handles=handles)


@figure
def learning_curves(table: pd.DataFrame, **dress: Unpack[Dress]) -> Figure:
    """Training loss and validation accuracy by epoch, stage two behind stage one.

    Args:
        table: what `adaptation.summaries.curves` returns, of one model and scheme.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or the table is empty.
    """
    needed = ["approach", "direction", "stage", "epoch", "measure", "mean", "low", "high"]
    tables.require(table, needed, what="learning_curves")
    measures = {
        "training_loss": "Training loss (nats)",
        "validation_accuracy": "Validation accuracy (%)",
    }
    order = dress.get("order", {})
    columns = list(in_order(table, "approach", order))
    lines = in_order(table, "direction", order)
    board = Board(list(measures), columns, dress)
    marks = {name: board.style.mark(position) for name, position in lines.items()}
    accuracies = []
    for (measure, approach), axes in board.axes.items():
        part = table[(table["measure"] == measure) & (table["approach"] == approach)]
        if part.empty:
            board.no_data(axes)
            continue
        last = part.loc[part["stage"] == 1, "epoch"].max()
        stages = part["stage"].nunique()
        if stages > 1:
            axes.axvline(last + 0.5, color=GREY, linewidth=0.8, linestyle=":")
        accuracy = measure == "validation_accuracy"
        scale = PER_CENT if accuracy else 1.0
        for (direction, stage), one in part.groupby(["direction", "stage"], sort=False):
            x = one["epoch"] + (last if stage == 2 else 0)
            colour, dashes = marks[direction].colour, marks[direction].dashes
            axes.plot(x, scale * one["mean"], color=colour, linestyle=dashes, linewidth=1.0)
            axes.fill_between(
                x, scale * one["low"], scale * one["high"], color=colour, alpha=0.18, linewidth=0
            )
        axes.set_xlim(0.5, stages * last + 0.5)
        axes.grid(axis="y", color=PALE, linewidth=0.5)
        axes.yaxis.set_major_formatter(short_numbers())
        if accuracy:
            accuracies.append(axes)
    edges = [edge for axes in accuracies for edge in axes.get_ylim()]
    for axes in accuracies:
        axes.set_ylim(min(edges), max(edges))
    board.name_panels(columns)
    board.name_rows(measures, show_row=False)
    handles = [
        Line2D([], [], color=m.colour, linestyle=m.dashes, linewidth=1.2, label=_way(board, name))
        for name, m in marks.items()
    ]
    handles.append(Line2D([], [], color=GREY, linestyle=":", linewidth=0.8, label="Stage two"))
    return board.finish(xlabel="Epoch", handles=[*handles, *_bands(table)])


@figure
def layer_weights(table: pd.DataFrame, **dress: Unpack[Dress]) -> Figure:
    """Learned weights of the layers, by approach and model; one line per direction and stage.

    Args:
        table: what `adaptation.summaries.layer_values` returns, of one scheme.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or the table is empty.
    """
    return _by_layer(table, "low", "high", "Layer weight", _bands(table), dress)


@figure
def gate_values(table: pd.DataFrame, **dress: Unpack[Dress]) -> Figure:
    """Learned gates, by approach and model: mean over dimensions and how far they spread.

    Args:
        table: what `adaptation.summaries.layer_values` returns for gates, of one scheme.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or the table is empty.
    """
    words = "Band: \N{PLUS-MINUS SIGN}1 standard deviation over dimensions"
    extra = [Patch(facecolor=GREY, alpha=0.35, label=words)]
    return _by_layer(table, "spread_low", "spread_high", "Gate", extra, dress)


@figure
def limited_data(table: pd.DataFrame, **dress: Unpack[Dress]) -> Figure:
    """Accuracy by number of target clips trained on: what stage one in the other domain saves.

    Args:
        table: columns domain, approach, training (direct, two-stage), training_clips, value, low
            and high (fractions); one model, scheme, metric and basis. Approaches with one number of
            clips are left out, unless no other is there.
        **dress: see `Dress`.

    Raises:
        InputError: if a column is missing or the table is empty.
    """
    needed = ["domain", "approach", "training", "training_clips", "value", "low", "high"]
    tables.require(table, needed, what="limited_data")
    numbers = table.groupby(["approach", "domain"])["training_clips"].transform("nunique")
    table = table[numbers > 1] if (numbers > 1).any() else table
    order = dress.get("order", {})
    columns = list(in_order(table, "approach", order))
    lines = in_order(table, "training", order)
    board = Board(list(in_order(table, "domain", order)), columns, dress)
    marks = {name: board.style.mark(position) for name, position in lines.items()}
    edges = []
    for (domain, approach), axes in board.axes.items():
        part = table[(table["domain"] == domain) & (table["approach"] == approach)]
        if part.empty:
            board.no_data(axes)
            continue
        for name, mark in marks.items():
            one = part[part["training"] == name].sort_values("training_clips")
            x = one["training_clips"]
            axes.plot(x, PER_CENT * one["value"], **_look(mark, board.style))
            axes.fill_between(
                x,
                PER_CENT * one["low"],
                PER_CENT * one["high"],
                color=mark.colour,
                alpha=0.18,
                linewidth=0,
            )
        axes.set_xlim(left=0)
        axes.grid(axis="y", color=PALE, linewidth=0.5)
        axes.yaxis.set_major_formatter(short_numbers())
        edges += axes.get_ylim()
    board.share_y((max(min(edges), -2), min(max(edges), 102)))
    board.name_panels(columns)
    board.name_rows("Accuracy (%)", show_row=True)
    handles = [_handle(board.label(name), mark, board.style) for name, mark in marks.items()]
    handles.append(Patch(facecolor=GREY, alpha=0.35, label="Band: interval"))
    return board.finish(xlabel="Training clips of the domain tested", handles=handles)


def _by_layer(
    table: pd.DataFrame, low: str, high: str, ylabel: str, extra: list, dress: Dress
) -> Figure:
    """Draws values by layer: rows approaches, columns models, lines directions and stages."""
    needed = ["model", "approach", "direction", "stage", "layer", "mean", low, high]
    tables.require(table, needed, what=ylabel.lower())
    labels, order = dress.get("labels", {}), dress.get("order", {})
    pairs = [
        (direction, stage)
        for direction in in_order(table, "direction", order)
        for stage in sorted(table["stage"].unique())
    ]
    names = {pair: f"{pair[0]}/{pair[1]}" for pair in pairs}
    shown = {name: f"{_words(d, labels)}, stage {s}" for (d, s), name in names.items()}
    line = [names[pair] for pair in zip(table["direction"], table["stage"], strict=True)]
    dress = dress | {"labels": {**labels, **shown}, "order": {**order, "line": [*shown]}}
    drawn = Drawn("approach", "model", "line", "mean", low, high, same_y="row")
    return _layer_figure(table.assign(line=line), drawn, ylabel, dress, extra)


def _words(direction: str, labels: Mapping[str, str]) -> str:
    """Returns a direction in words."""
    if direction in labels:
        return labels[direction]
    source, _, target = direction.partition("-to-")
    return f"{labels.get(source, source)} to {labels.get(target, target)}"


def _way(board: Board, direction: str) -> str:
    return _words(direction, board.dress.get("labels", {}))


def _dot(mark: Mark, size: float) -> dict:
    """Returns how a dot is drawn."""
    return {
        "marker": mark.marker,
        "markersize": 0.62 * size * mark.grown,
        "linestyle": "",
        "color": mark.colour,
        "markerfacecolor": mark.colour if mark.filled else "white",
        "zorder": 4,
    }


def _bands(table: pd.DataFrame) -> list[Patch]:
    """Returns the legend's entries for bands over seeds."""
    bands = table[table["band"].fillna("") != ""]
    if bands.empty:
        return []
    seeds = bands["seeds"]
    many = str(seeds.min()) if seeds.nunique() == 1 else f"{seeds.min()} to {seeds.max()}"
    return [
        Patch(facecolor=GREY, alpha=0.35, label=BANDS[band].format(seeds=many))
        for band in bands["band"].unique()
    ]


def _share_x(board: Board) -> None:
    """Gives all panels the same x axis."""
    limits = [axes.get_xlim() for axes in board.axes.values() if axes.lines]
    if not limits:
        raise InputError("No row of the table has a value to draw.")
    low, high = max(min(a for a, _ in limits), -2), min(max(b for _, b in limits), 102)
    for axes in board.axes.values():
        axes.set_xlim(low, high)
