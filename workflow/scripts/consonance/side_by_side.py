"""The numbers that arXiv 2409.17899 prints, each beside ours with its interval.

The paper's numbers come from one split and one start. Ours is a mean over several, and its interval
says where further ones would bring the mean. So there are two questions: whether the printed
number lies in the interval of our mean (`inside`), and whether it lies where one further split of
ours would fall (`inside_split`), which is the fair one for a single split. Only the paper's models
on the paper's recordings under the paper's split scheme are compared; every other published number
says why it stands alone.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from consonance import tables

COLUMNS = (
    "id",
    "table",
    "domain",
    "model",
    "approach",
    "direction",
    "stage",
    "statistic",
    "paper_value",
    "paper_likely",
    "paper_layers",
    "misprint",
    "our_model",
    "ours",
    "our_layers",
    "low",
    "high",
    "level",
    "inside",
    "split_low",
    "split_high",
    "inside_split",
    "difference",
    "note",
    "source",
)
PROBE = "probe"


def side_by_side(
    published: pd.DataFrame,
    performance: pd.DataFrame | None,
    *,
    paper_models: Mapping[str, str],
    paper_scheme: str,
    adaptation: pd.DataFrame | None,
) -> pd.DataFrame:
    """Sets every published number beside ours.

    Args:
        published: the paper's numbers (`published.read`), in per cent.
        performance: rows of `intervals.performance_intervals` of all models, or None.
        paper_models: our model to the published model, where weights and recordings are the
            paper's; empty otherwise.
        paper_scheme: the split scheme of the paper.
        adaptation: our accuracies after adaptation with intervals, or None: columns model, scheme,
            approach, direction, stage, value, low, high, level; and split_low, split_high if known.

    Returns:
        Columns `COLUMNS`, one row per published number in its order. All values are fractions.
        paper_likely is what was probably meant where a misprint can be explained; inside and
        inside_split compare that (or else the printed value): "yes", "no", or "" where there is
        nothing to compare. difference is ours less the paper's. note says why there is none of
        ours. Interval of best and worst: `performance_intervals`.

    Raises:
        InputError: if a table lacks a column.
    """
    tables.require(published, ["id", "approach", "model", "value"], what="published numbers")
    ours = {theirs: mine for mine, theirs in paper_models.items()}
    rows = []
    for paper in published.itertuples():
        row = {name: getattr(paper, name) for name in ("id", "table", "domain", "model")}
        row |= {name: getattr(paper, name) for name in ("approach", "direction", "stage")}
        row |= {"statistic": paper.statistic, "paper_layers": paper.layers}
        row |= {"paper_value": paper.value / 100, "paper_likely": paper.likely / 100}
        row |= {"misprint": paper.misprint, "source": paper.source}
        row["our_model"] = ours.get(paper.model, "")
        found, note = _ours(paper, row["our_model"], performance, adaptation, paper_scheme)
        rows.append(row | _compared(paper, found) | {"note": note})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _ours(
    paper,
    model: str,
    performance: pd.DataFrame | None,
    adaptation: pd.DataFrame | None,
    scheme: str,
) -> tuple[pd.Series | None, str]:
    """Returns our row for a published number, or why there is none."""
    if not model:
        return None, f"{paper.model} on the paper's recordings is not part of this run."
    probe = paper.approach == PROBE
    table = performance if probe else adaptation
    if table is None:
        return None, "Not computed: there are no results of this kind in this run."
    keys = {"model": model, "scheme": scheme}
    if probe:
        keys |= {"domain": paper.domain, "statistic": paper.statistic}
        keys |= {"metric": "accuracy", "basis": "seeds"}
    else:
        keys |= {"approach": paper.approach, "direction": paper.direction, "stage": paper.stage}
    tables.require(table, [*keys, "value", "low", "high", "level"], what="our side of the paper")
    rows = table
    for name, value in keys.items():
        rows = rows[rows[name] == value]
    if rows.empty:
        return None, f"Not computed: no {scheme} split of {model} gives this number."
    row = rows.iloc[0]
    reason = row.get("reason", "")
    return row, reason if isinstance(reason, str) else ""


def _compared(paper, row: pd.Series | None) -> dict:
    """Returns our numbers and how the paper's lies to them."""
    names = ("ours", "low", "high", "level", "split_low", "split_high", "difference")
    made = dict.fromkeys(names, np.nan) | {"our_layers": "", "inside": "", "inside_split": ""}
    if row is None:
        return made
    value = (paper.value if np.isnan(paper.likely) else paper.likely) / 100
    made |= {"ours": row["value"], "our_layers": row.get("layers", "")}
    made["difference"] = row["value"] - value
    for name in ("low", "high", "level", "split_low", "split_high"):
        made[name] = row.get(name, np.nan)
    for verdict, low, high in (
        ("inside", "low", "high"),
        ("inside_split", "split_low", "split_high"),
    ):
        if not (np.isnan(made[low]) or np.isnan(made[high])):
            made[verdict] = "yes" if made[low] <= value <= made[high] else "no"
    return made


def forest_table(table: pd.DataFrame, *, labels: Mapping[str, str]) -> pd.DataFrame:
    """Prepares a figure of our values less the paper's, where both are there.

    Args:
        table: what `side_by_side` returned.
        labels: display names.

    Returns:
        Columns group, label, estimate, low, high and significant (the paper's value lies outside
        our interval).
    """
    both = table[table["ours"].notna()]

    def name(text: str) -> str:
        return labels.get(text, text)

    return pd.DataFrame(
        {
            "group": both["table"].to_numpy(),
            "label": [
                ", ".join(name(row[key]) for key in ("domain", "model", "statistic") if row[key])
                for _, row in both.iterrows()
            ],
            "estimate": both["difference"].to_numpy(),
            "low": (both["low"] - both["ours"] + both["difference"]).to_numpy(),
            "high": (both["high"] - both["ours"] + both["difference"]).to_numpy(),
            "significant": (both["inside"] == "no").to_numpy(),
        }
    )


def markdown(table: pd.DataFrame, *, labels: Mapping[str, str], digits: int) -> str:
    """Shows the comparison in Markdown, one table per table of the paper.

    Args:
        table: what `side_by_side` returned.
        labels: name to display.
        digits: decimals of per cents.

    Returns:
        Text with a heading per table, ending in a line break.
    """

    def percent(value: float) -> str:
        return "" if np.isnan(value) else f"{100 * value:.{digits}f}"

    def span(low: float, high: float) -> str:
        return "" if np.isnan(low) else f"{percent(low)} to {percent(high)}"

    blocks = []
    for name, part in table.groupby("table", sort=False):
        rows = []
        for row in part.itertuples():
            what = [labels.get(row.model, row.model), labels.get(row.domain, row.domain)]
            if row.approach == PROBE:
                what.append(row.statistic)
            else:
                what += [labels.get(row.approach, row.approach), row.direction]
                what.append(f"stage {row.stage:.0f}")
            paper = percent(row.paper_value)
            paper += f" ({row.paper_layers})" if row.paper_layers else ""
            paper += " *" if row.misprint else ""
            mine = percent(row.ours) + (f" ({row.our_layers})" if row.our_layers else "")
            rows.append(
                {
                    "what": ", ".join(what),
                    "paper": paper,
                    "ours": mine,
                    "interval": span(row.low, row.high),
                    "inside": row.inside,
                    "split": span(row.split_low, row.split_high),
                    "inside_split": row.inside_split,
                    "note": row.note,
                }
            )
        columns = [
            tables.Column("what", "Number"),
            tables.Column("paper", "Paper (%)"),
            tables.Column("ours", "Ours (%)"),
            tables.Column("interval", "Interval (%)"),
            tables.Column("inside", "Paper inside"),
            tables.Column("split", "One split (%)"),
            tables.Column("inside_split", "Paper inside"),
            tables.Column("note", "Note"),
        ]
        star = "\n\\* misprinted; the likely value is compared." if part["misprint"].any() else ""
        shown = tables.markdown(pd.DataFrame(rows), columns)
        blocks.append(f"### Table {name} of the paper\n\n{shown}{star}".rstrip("\n") + "\n")
    return "\n".join(blocks)
