"""Tidy tables that figures and reports draw: summaries over seeds, layers and emotions.

Everything a figure shows is computed here, so that a figure computes nothing and the table behind
it is a result in itself. Accuracies, average recalls and recalls are fractions from 0 to 1.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from consonance import tables
from consonance.errors import InputError

SCORE_COLUMNS = (
    "corpus",
    "model",
    "domain",
    "scheme",
    "seed",
    "layer",
    "metric",
    "emotion",
    "value",
)
FAD_COLUMNS = (
    "corpus",
    "model",
    "level",
    "layer",
    "domain_a",
    "emotion_a",
    "domain_b",
    "emotion_b",
    "clips_a",
    "clips_b",
    "samples_a",
    "samples_b",
    "fad",
    "fad_relative",
)
ALL = "all"
"""The name of the set that pools every emotion."""

SHOWN_METRICS = ("accuracy", "uar", "recall")
# Averages of k/n over seeds that are equal on paper may differ in the last bit.
TIE_DECIMALS = 12


def probe_summary(scores: Sequence[pd.DataFrame], *, band: Literal["range", "sd"]) -> pd.DataFrame:
    """Summarises probe scores over seeds.

    mean = sum_s x_s / S and sd = sqrt(sum_s (x_s - mean)^2 / (S - 1)) over the S seeds that have a
    value (an emotion without test clips has no recall). The band is [min, max] for "range" and
    [mean - sd, mean + sd] for "sd". It shows how much splits and starts differ, and is no
    confidence interval.

    Args:
        scores: score tables of the probes (columns `SCORE_COLUMNS`).
        band: what `low` and `high` are.

    Returns:
        One row per corpus, model, domain, scheme, layer, metric (accuracy, uar, recall) and
        emotion (for recall, else ""): mean, sd, low, high, seeds (S) and band (as given). With
        S = 1 sd, low and high are NaN and band is "". Rows are in the order of their first
        appearance in `scores`.

    Raises:
        InputError: if a column is missing, a score lies outside [0, 1], the same score occurs
            twice, or `band` is unknown.
    """
    if band not in ("range", "sd"):
        raise InputError(f"The band '{band}' is unknown; choose range or sd.")
    frame = _scores(scores)
    keys = ["corpus", "model", "domain", "scheme", "layer", "metric", "emotion"]
    grouped = frame.groupby(keys, sort=False)["value"]
    summary = grouped.agg(mean="mean", sd="std", low="min", high="max", seeds="count").reset_index()
    alone = summary["seeds"] < 2
    if band == "sd":
        summary["low"] = summary["mean"] - summary["sd"]
        summary["high"] = summary["mean"] + summary["sd"]
    summary.loc[alone, ["sd", "low", "high"]] = np.nan
    summary["band"] = np.where(alone, "", band)
    return summary


def chance_level(summary: pd.DataFrame) -> float:
    """Returns 1 / (number of emotions): the expected score of a guess that ignores the recording.

    It holds for accuracy, UAR and recall alike, however many clips an emotion has, when every
    emotion is guessed equally often.

    Raises:
        InputError: if the summary holds no recall.
    """
    tables.require(summary, ["metric", "emotion"], what="the chance level")
    emotions = summary.loc[summary["metric"] == "recall", "emotion"].nunique()
    if not emotions:
        raise InputError("The probe summary holds no recall, so the emotions cannot be counted.")
    return 1 / emotions


def performance_table(
    scores: Sequence[pd.DataFrame],
    *,
    first_seed: int,
    published: pd.DataFrame | None,
    paper_models: Mapping[str, str],
    paper_scheme: str,
) -> pd.DataFrame:
    """Best, worst and mean accuracy over the layers (arXiv 2409.17899, Tables I and II).

    Layers are 1..L: state 0, the encoder's input, never counts. The paper calls its numbers "UA",
    but they are plain accuracies on 203 clips of one split, so they stand beside the accuracy and
    not beside the UAR. A best layer chosen on the test clips is optimistic, here as in the paper.

    Args:
        scores: score tables of the probes (columns `SCORE_COLUMNS`).
        first_seed: the seed that is also shown alone, as the paper has one split and one start.
        published: the paper's numbers (`published.read`), or None.
        paper_models: our model name to the published model name, for those models whose weights
            are the paper's; empty where the recordings are not the paper's.
        paper_scheme: the split scheme the paper uses; other schemes get no number beside them.

    Returns:
        One row per corpus, domain, scheme, model, metric (accuracy, uar), statistic (best, worst,
        mean) and basis ("seeds": the score of a layer is its mean over seeds; "first": that of the
        first seed): value, layers ("4, 5" when tied; empty for the mean), seeds (that the value
        rests on), and paper_value (a fraction; NaN where there is none), paper_layers and
        paper_source.

    Raises:
        InputError: as `probe_summary`, or if a probe has no score of `first_seed`, or if there is
            no score of a layer from 1 on.
    """
    frame = _scores(scores)
    frame = frame[frame["metric"].isin(["accuracy", "uar"]) & (frame["layer"] >= 1)]
    if frame.empty:
        raise InputError("The scores hold no accuracy or UAR of a layer from 1 on.")
    paper = {}
    if published is not None:
        part = published[published["approach"] == "probe"]
        paper = {(row.domain, row.model, row.statistic): row for row in part.itertuples()}
    rows, problems = [], []
    keys = ["corpus", "domain", "scheme", "model", "metric"]
    for key, group in frame.groupby(keys, sort=False):
        named = dict(zip(keys, key, strict=True))
        # One line per seed, one column per layer; a layer without a score drops out.
        grid = group.pivot(index="seed", columns="layer", values="value")
        grid = grid.dropna(axis=0, how="all").dropna(axis=1, how="all")
        if first_seed not in grid.index:
            problems.append(
                f"The probe of {named['model']} on {named['domain']} ({named['scheme']} split) has "
                f"no {named['metric']} for seed {first_seed}; its seeds are "
                f"{', '.join(map(str, grid.index)) or 'none'}."
            )
            continue
        published_model = paper_models.get(named["model"])
        beside = named["metric"] == "accuracy" and named["scheme"] == paper_scheme
        for basis, by_layer, seeds in (
            ("seeds", grid.mean(axis=0), len(grid)),
            ("first", grid.loc[first_seed].dropna(), 1),
        ):
            for statistic, (value, layers) in _extremes(by_layer).items():
                theirs = (
                    paper.get((named["domain"], published_model, statistic)) if beside else None
                )
                rows.append(
                    named
                    | {
                        "statistic": statistic,
                        "basis": basis,
                        "value": value,
                        "layers": layers,
                        "seeds": seeds,
                        "paper_value": np.nan if theirs is None else theirs.value / 100,
                        "paper_layers": "" if theirs is None else theirs.layers,
                        "paper_source": "" if theirs is None else theirs.source,
                    }
                )
    if problems:
        raise InputError(problems)
    return pd.DataFrame(rows)


def fad_summary(fads: Sequence[pd.DataFrame], *, domains: tuple[str, str]) -> pd.DataFrame:
    """The Fréchet distance between the domains per emotion (arXiv 2409.17899, Fig. 3).

    Args:
        fads: FAD tables (columns `FAD_COLUMNS`), one or more models.
        domains: the two domains, for example speech and song; a pair may be stored either way
            round.

    Returns:
        One row per corpus, model, level, layer and emotion ("all" included): clips_a, clips_b,
        samples_a, samples_b (a is the first of `domains`), fad, fad_relative, and rank and
        rank_relative: the place of the emotion in that layer, 1 for the nearest, the mean place
        for ties, NaN for "all" and for a missing distance.

    Raises:
        InputError: if a column is missing, the same distance occurs twice, or no row compares the
            two domains within an emotion.
    """
    frame = _fads(fads)
    first, second = domains
    same = frame["emotion_a"] == frame["emotion_b"]
    forward = frame[same & (frame["domain_a"] == first) & (frame["domain_b"] == second)]
    back = frame[same & (frame["domain_a"] == second) & (frame["domain_b"] == first)]
    frame = pd.concat([forward, back.rename(columns=_swapped(back.columns))])
    if frame.empty:
        raise InputError(f"No distance compares {first} with {second} within one emotion.")
    keys = ["corpus", "model", "level", "layer"]
    frame = frame.rename(columns={"emotion_a": "emotion"})[
        [*keys, "emotion", "clips_a", "clips_b", "samples_a", "samples_b", "fad", "fad_relative"]
    ]
    _once(frame, [*keys, "emotion"], "distance between the domains")
    single = frame[frame["emotion"] != ALL]
    for column, rank in (("fad", "rank"), ("fad_relative", "rank_relative")):
        frame[rank] = single.groupby(keys, sort=False)[column].rank(method="average")
    return frame.reset_index(drop=True)


def fad_ranking(summary: pd.DataFrame) -> pd.DataFrame:
    """The emotions from nearest to farthest over the layers of a model.

    Args:
        summary: what `fad_summary` returns; layer 0 and "all" do not count.

    Returns:
        One row per corpus, model, level and emotion: layers (how many), mean_rank, best_rank,
        worst_rank, mean_rank_relative and place (of mean_rank, 1 for the nearest; ties share the
        mean place), sorted by place within a model and level.

    Raises:
        InputError: if a column is missing or no layer has ranks.
    """
    keys = ["corpus", "model", "level"]
    tables.require(
        summary,
        [*keys, "layer", "emotion", "rank", "rank_relative"],
        what="the ranking of emotions",
    )
    part = summary[(summary["emotion"] != ALL) & (summary["layer"] >= 1)]
    if part.empty:
        raise InputError(
            "The FAD summary has no distance of a single emotion in a layer from 1 on."
        )
    ranking = (
        part.groupby([*keys, "emotion"], sort=False)
        .agg(
            layers=("rank", "count"),
            mean_rank=("rank", "mean"),
            best_rank=("rank", "min"),
            worst_rank=("rank", "max"),
            mean_rank_relative=("rank_relative", "mean"),
        )
        .reset_index()
    )
    ranking["place"] = ranking.groupby(keys, sort=False)["mean_rank"].rank(method="average")
    group = ranking.groupby(keys, sort=False).ngroup()
    order = ranking.assign(group=group).sort_values(["group", "place"], kind="stable").index
    return ranking.loc[order].reset_index(drop=True)


def fad_matrix(fads: Sequence[pd.DataFrame], *, exclude: Collection[str] = (ALL,)) -> pd.DataFrame:
    """The distances between all domain-emotion sets, as a full symmetric matrix.

    Args:
        fads: FAD tables (columns `FAD_COLUMNS`); each unordered pair of sets at most once.
        exclude: emotions whose sets are left out.

    Returns:
        One row per corpus, model, level, layer and ordered pair (domain_a, emotion_a, domain_b,
        emotion_b): fad and fad_relative. A set's distance to itself is 0 by definition.

    Raises:
        InputError: if a column is missing, a pair occurs twice, or nothing is left.
    """
    frame = _fads(fads)
    keys = ["corpus", "model", "level", "layer"]
    sides = ["domain_a", "emotion_a", "domain_b", "emotion_b"]
    keep = ~frame["emotion_a"].isin(exclude) & ~frame["emotion_b"].isin(exclude)
    frame = frame.loc[keep, [*keys, *sides, "fad", "fad_relative"]]
    itself = (frame["domain_a"] == frame["domain_b"]) & (frame["emotion_a"] == frame["emotion_b"])
    frame = frame[~itself]
    if frame.empty:
        raise InputError("No distance between two different domain-emotion sets is left to show.")
    back = frame.rename(columns=_swapped(frame.columns))[list(frame.columns)]
    both = pd.concat([frame, back])
    _once(both, [*keys, *sides], "distance between two sets")
    zero = both[[*keys, "domain_a", "emotion_a"]].drop_duplicates()
    zero = zero.assign(
        domain_b=zero["domain_a"], emotion_b=zero["emotion_a"], fad=0.0, fad_relative=0.0
    )
    return pd.concat([both, zero], ignore_index=True)


def performance_markdown(table: pd.DataFrame, *, labels: Mapping[str, str], digits: int) -> str:
    """Renders `performance_table` in Markdown: a section per corpus, domain and scheme.

    Args:
        table: what `performance_table` returns.
        labels: name to words, for domains, schemes and models; a name without an entry is shown.
        digits: decimals of the percentages.
    """
    parts = []
    for heading, layout, columns in _performance_layouts(table, labels, digits):
        parts.append(f"### {heading}\n\n{tables.markdown(layout, columns)}")
    return "\n".join(parts)


def performance_latex(table: pd.DataFrame, *, labels: Mapping[str, str], digits: int) -> str:
    """Renders `performance_table` in LaTeX (booktabs): a table per corpus, domain and scheme.

    Args:
        table: what `performance_table` returns.
        labels: name to words, for domains, schemes and models; a name without an entry is shown.
        digits: decimals of the percentages.
    """
    return "\n".join(
        tables.latex(layout, columns, caption=heading)
        for heading, layout, columns in _performance_layouts(table, labels, digits)
    )


def fad_ranking_markdown(ranking: pd.DataFrame, *, labels: Mapping[str, str]) -> str:
    """Renders `fad_ranking` in Markdown, emotions of a model and level from near to far."""
    return tables.markdown(*_ranking_layout(ranking, labels))


def fad_ranking_latex(ranking: pd.DataFrame, *, labels: Mapping[str, str]) -> str:
    """Renders `fad_ranking` in LaTeX (booktabs)."""
    layout, columns = _ranking_layout(ranking, labels)
    return tables.latex(
        layout, columns, caption="Emotions from the nearest to the farthest domain distance"
    )


def _scores(scores: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Joins and checks score tables; keeps accuracy, UAR and recall."""
    if not scores:
        raise InputError("There are no score tables to summarise; train at least one probe.")
    for frame in scores:
        tables.require(frame, SCORE_COLUMNS, what="the summary of probes")
    frame = pd.concat([frame[list(SCORE_COLUMNS)] for frame in scores], ignore_index=True)
    frame = frame[frame["metric"].isin(SHOWN_METRICS)]
    # A score of all clips has no emotion; a reader of CSV may have made NaN of that.
    frame = frame.assign(emotion=frame["emotion"].astype(object).fillna(""))
    if frame.empty:
        raise InputError("The score tables hold neither accuracy nor UAR nor recall.")
    outside = frame[~(frame["value"].isna() | frame["value"].between(0, 1))]
    if not outside.empty:
        row = outside.iloc[0]
        raise InputError(
            f"{len(outside)} scores lie outside 0 to 1, the first is {row['metric']} "
            f"{row['value']} of {row['model']}, layer {row['layer']}; give fractions."
        )
    _once(frame, [name for name in SCORE_COLUMNS if name != "value"], "score")
    return frame


def _fads(fads: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Joins and checks FAD tables."""
    if not fads:
        raise InputError("There are no FAD tables to summarise; compute at least one.")
    for frame in fads:
        tables.require(frame, FAD_COLUMNS, what="the summary of distances")
    return pd.concat([frame[list(FAD_COLUMNS)] for frame in fads], ignore_index=True)


def _once(frame: pd.DataFrame, keys: list[str], what: str) -> None:
    """Raises if a combination of keys occurs twice."""
    twice = frame.loc[frame.duplicated(keys), keys]
    if not twice.empty:
        first = ", ".join(f"{name} {value}" for name, value in twice.iloc[0].items() if value != "")
        raise InputError(
            f"{len(twice)} rows repeat a {what}, the first is {first}; give each table once."
        )


def _swapped(columns: Collection[str]) -> dict[str, str]:
    """Returns the renaming that exchanges side a and side b."""
    other = {"a": "b", "b": "a"}
    return {
        name: f"{name[:-1]}{other[name[-1]]}" for name in columns if name.endswith(("_a", "_b"))
    }


def _extremes(by_layer: pd.Series) -> dict[str, tuple[float, str]]:
    """Returns value and layers of best, worst and mean over layers."""
    rounded = by_layer.round(TIE_DECIMALS)
    found = {}
    for statistic, extreme in (("best", rounded.max()), ("worst", rounded.min())):
        layers = sorted(rounded.index[rounded == extreme])
        found[statistic] = (float(by_layer[layers[0]]), ", ".join(map(str, layers)))
    found["mean"] = (float(by_layer.mean()), "")
    return found


def _performance_layouts(
    table: pd.DataFrame, labels: Mapping[str, str], digits: int
) -> list[tuple[str, pd.DataFrame, list[tables.Column]]]:
    """Returns heading, shown cells and columns per corpus, domain and scheme."""
    tables.require(
        table,
        [
            *("corpus", "domain", "scheme", "model", "metric", "statistic", "basis"),
            *("value", "layers", "seeds", "paper_value", "paper_layers"),
        ],
        what="the performance tables",
    )

    def cell(value: float, layers: str) -> str:
        if np.isnan(value):
            return ""
        return f"{100 * value:.{digits}f}" + (f" ({layers})" if layers else "")

    layouts = []
    for (corpus, domain, scheme), part in table.groupby(["corpus", "domain", "scheme"], sort=False):
        rows = []
        for (model, statistic), group in part.groupby(["model", "statistic"], sort=False):
            row = {"model": labels.get(model, model), "statistic": statistic.capitalize()}
            for entry in group.itertuples():
                row[f"{entry.metric} {entry.basis}"] = cell(entry.value, entry.layers)
                if entry.metric == "accuracy" and entry.basis == "seeds":
                    row["paper"] = cell(entry.paper_value, entry.paper_layers)
            rows.append(row)
        layout = pd.DataFrame(rows).fillna("")
        seeds = part.loc[part["basis"] == "seeds", "seeds"]
        many = f"{seeds.min()}" if seeds.nunique() == 1 else f"{seeds.min()}-{seeds.max()}"
        columns = [
            tables.Column("model", "Model"),
            tables.Column("statistic", "Over layers"),
            tables.Column("accuracy seeds", f"Accuracy (%), mean of seeds ({many})"),
            tables.Column("accuracy first", "Accuracy (%), first seed"),
            tables.Column("uar seeds", f"UAR (%), mean of seeds ({many})"),
            tables.Column("uar first", "UAR (%), first seed"),
            tables.Column("paper", "Paper (%)"),
        ]
        shown = [column for column in columns if column.name in layout and any(layout[column.name])]
        names = [labels.get(name, name) for name in (corpus, domain, scheme)]
        heading = f"{names[0]}: {names[1]}, {names[2]} (best or worst layer in parentheses)"
        layouts.append((heading, layout, shown))
    return layouts


def _ranking_layout(
    ranking: pd.DataFrame, labels: Mapping[str, str]
) -> tuple[pd.DataFrame, list[tables.Column]]:
    """Returns shown cells and columns of a ranking."""
    columns = [
        tables.Column("model", "Model"),
        tables.Column("level", "Level"),
        tables.Column("place", "Place"),
        tables.Column("emotion", "Emotion"),
        tables.Column("mean_rank", "Mean rank", digits=2),
        tables.Column("best_rank", "Best"),
        tables.Column("worst_rank", "Worst"),
        tables.Column("mean_rank_relative", "Mean rank, relative", digits=2),
        tables.Column("layers", "Layers"),
    ]
    tables.require(ranking, [column.name for column in columns], what="the ranking of emotions")
    layout = ranking.copy()
    for name in ("model", "level", "emotion"):
        layout[name] = [labels.get(value, value) for value in layout[name]]
    return layout, columns
