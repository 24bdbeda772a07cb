"""What the adaptation tables show: intervals, paired comparisons, curves, weights, gates.

*Direct* training on a domain is stage one of the direction that starts there; *two-stage* is stage
two of the direction that ends there. Both are tested on the same clips.
"""

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from consonance import comparisons, intervals, tables
from consonance.adaptation.naming import (
    APPROACH_QUESTION,
    KEYS,
    LENGTH_QUESTION,
    STAGE_QUESTION,
    TRAININGS,
    WHOLE,
    control,
)
from consonance.errors import InputError

logger = logging.getLogger(__name__)

RUN = [key for key in KEYS if key not in ("seed", "domain")]
PAIRED_COLUMNS = (
    "corpus", "question", "family", "family_size", "comparison", "model", "scheme", "domain",
    "approach", "training", "a", "b", "metric", "basis", "value_a", "value_b", "difference", "low",
    "high", "level", "p", "p_holm", "method", "unit", "clusters", "clips", "seeds", "draws",
    "reason",
)  # fmt: skip
# Any number does: comparisons and intervals are made for tables with several layers.
_LAYER = 1


def performance(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    runs: pd.DataFrame,
    *,
    emotions: Sequence[str],
    first_seed: int,
    level: float,
    draws: int,
    seed: int,
    min_clusters: int,
) -> pd.DataFrame:
    """Accuracy and UAR of every run with intervals (arXiv 2409.17899, Table III).

    Args:
        predictions: of any number of jobs.
        manifest: the kept clips.
        runs: of the same jobs, for the numbers of training clips.
        emotions: of the experiment.
        first_seed: the seed shown alone; for an approach without it, its own first.
        level: see `intervals.accuracy_intervals`, as are the following.
        draws: bootstrap draws.
        seed: of the draws.
        min_clusters: with fewer units there is no interval.

    Returns:
        corpus, model, scheme, approach, direction, stage, fraction, domain, training (direct,
        two-stage), training_clips (mean over seeds), basis (seeds, first), metric (accuracy,
        uar), value, low, high, level, method, unit, clusters, clips, seeds, reason.

    Raises:
        InputError: as `intervals.accuracy_intervals`.
    """
    sizes = runs.groupby([*RUN, "domain"], sort=False)["training_clips"].mean()
    frames = []
    for key, part in predictions.groupby([*RUN, "domain"], sort=False):
        named = dict(zip([*RUN, "domain"], key, strict=True))
        seeds = part["seed"].unique()
        found = intervals.accuracy_intervals(
            part[["seed", "clip", "emotion", "predicted"]].assign(layer=_LAYER),
            manifest,
            model=named["model"],
            scheme=named["scheme"],
            emotions=emotions,
            first_seed=first_seed if first_seed in seeds else int(seeds.min()),
            level=level,
            draws=draws,
            seed=seed,
            min_clusters=min_clusters,
        )
        found = found[found["metric"] != "recall"]
        kept = ["basis", "metric", "value", "low", "high", "level", "method", "unit"]
        kept += ["clusters", "clips", "seeds", "reason"]
        frame = found[kept].reset_index(drop=True)
        named |= {"training": TRAININGS[named["stage"]], "training_clips": sizes[key]}
        for place, (name, value) in enumerate(named.items()):
            frame.insert(place, name, value)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def paired(
    predictions: pd.DataFrame,
    scores: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    emotions: Sequence[str],
    metrics: Sequence[str],
    controls: Sequence[str],
    first_seed: int,
    level: float,
    draws: int,
    seed: int,
    min_clusters: int,
) -> pd.DataFrame:
    """Paired comparisons on the same test clips, of runs on all training clips.

    Three questions, per model, scheme and domain: does stage one in the other domain help
    (two-stage minus direct, for each approach); does it help more than training as long on the
    domain itself (two-stage minus the direct training of the control); and which approach is better
    (each pair, for direct and for two-stage training; controls are left out). Sides are compared on
    the seeds that both have. Holm's correction runs over all models, schemes and domains of a
    question, metric and basis.

    Args:
        predictions: of any number of jobs.
        scores: of the same jobs.
        manifest: the kept clips.
        emotions: see `comparisons.compare`, as are the following.
        metrics: of accuracy, uar.
        controls: approaches that have one (`naming.control`).
        first_seed: of McNemar's test; where a side lacks it, their first common one.
        level: confidence.
        draws: bootstrap draws.
        seed: of the draws.
        min_clusters: with fewer units there is no interval.

    Returns:
        Columns `PAIRED_COLUMNS`; differences are a - b.

    Raises:
        InputError: as `comparisons.compare`.
    """
    whole = predictions[predictions["fraction"] == WHOLE].copy()
    whole["training"] = whole["stage"].map(TRAININGS)
    chosen = scores[
        (scores["fraction"] == WHOLE)
        & scores["metric"].isin(["validation_accuracy", "validation_loss"])
    ].copy()
    chosen["training"] = chosen["stage"].map(TRAININGS)
    side = ["approach", "training"]
    frames = []
    for (model, scheme, domain), part in whole.groupby(["model", "scheme", "domain"], sort=False):
        here = chosen[
            (chosen["model"] == model) & (chosen["scheme"] == scheme) & (chosen["domain"] == domain)
        ]
        by_side = {key: frame for key, frame in part.groupby(side, sort=False)}
        for question, approach, training, a, b in _pairs(list(by_side), controls):
            seeds = sorted(set(by_side[a]["seed"]) & set(by_side[b]["seed"]))
            if not seeds:
                logger.warning(
                    "%s and %s on %s (%s) have no seed in common and are not compared.",
                    "/".join(a), "/".join(b), model, scheme,
                )  # fmt: skip
                continue
            sides = {" / ".join(key): key for key in (a, b)}
            found = comparisons.compare(
                _with_side(part, sides, seeds)[
                    ["model", "scheme", "seed", "layer", "clip", "emotion", "predicted"]
                ],
                _with_side(here, sides, seeds),
                manifest,
                kinds=["models"],
                emotions=emotions,
                metrics=metrics,
                first_seed=first_seed if first_seed in seeds else seeds[0],
                level=level,
                draws=draws,
                seed=seed,
                min_clusters=min_clusters,
            )
            # With one layer, the mean over layers and the chosen layer are the same.
            found = found[found["layers"] == comparisons.CHOSEN].assign(
                model=model, question=question, approach=approach, training=training
            )
            found["a"], found["b"] = " / ".join(a), " / ".join(b)
            found["comparison"] = _words(question, approach, training, a, b)
            frames.append(found)
    if not frames:
        return pd.DataFrame(columns=list(PAIRED_COLUMNS))
    table = pd.concat(frames, ignore_index=True)
    table["family"] = table["question"] + ", " + table["metric"] + ", " + table["basis"]
    return comparisons.holm(table)[list(PAIRED_COLUMNS)]


def curves(table: pd.DataFrame, *, band: str) -> pd.DataFrame:
    """Summarises learning curves of runs on all training clips over seeds.

    Args:
        table: curves of any number of jobs.
        band: "range" or "sd", as `summaries.probe_summary`.

    Returns:
        corpus, model, scheme, approach, direction, stage, domain, epoch, measure (training_loss,
        validation_accuracy, validation_loss), mean, low, high, seeds, band.
    """
    whole = table[table["fraction"] == WHOLE]
    keys = [key for key in KEYS if key not in ("seed", "fraction")]
    measures = ["training_loss", "validation_accuracy", "validation_loss"]
    tall = whole.melt([*keys, "seed", "epoch"], measures, var_name="measure")
    return _over_seeds(tall, [*keys, "epoch", "measure"], "value", band)


def layer_values(table: pd.DataFrame, *, value: str, band: str) -> pd.DataFrame:
    """Summarises layer weights ("weight") or gates ("mean") of runs on all clips over seeds.

    Args:
        table: weights or gates of any number of jobs.
        value: the column.
        band: as `curves`.

    Returns:
        corpus, model, scheme, approach, direction, stage, domain, layer, mean, low, high, seeds,
        band; for gates also spread_low and spread_high, mean -+ the mean over seeds of the
        standard deviation over dimensions.
    """
    whole = table[table["fraction"] == WHOLE]
    keys = [key for key in KEYS if key not in ("seed", "fraction")]
    summary = _over_seeds(whole, [*keys, "layer"], value, band)
    if "sd" in table.columns:
        spread = whole.groupby([*keys, "layer"], sort=False)["sd"].mean().reset_index(name="spread")
        summary = summary.merge(spread, on=[*keys, "layer"])
        spread = summary.pop("spread")
        summary["spread_low"] = summary["mean"] - spread
        summary["spread_high"] = summary["mean"] + spread
    return summary


def sizes(runs: pd.DataFrame, *, encoders: Mapping[str, int]) -> pd.DataFrame:
    """Numbers of trained parameters and clips.

    Args:
        runs: of any number of jobs.
        encoders: model to the number of its parameters.

    Returns:
        corpus, model, scheme, approach, direction, stage, fraction, domain, parameters, share (of
        the encoder's), training_clips, validation_clips, test_clips (means over seeds), seeds.
    """
    keys = [*RUN, "domain"]
    numbers = ["training_clips", "validation_clips", "test_clips"]
    grouped = runs.groupby(keys, sort=False)
    table = grouped[["parameters", *numbers]].mean().reset_index()
    table["parameters"] = table["parameters"].astype(int)
    share = table["parameters"] / table["model"].map(dict(encoders))
    table.insert(table.columns.get_loc("parameters") + 1, "share", share)
    table["seeds"] = grouped["seed"].nunique().to_numpy()
    return table


def with_paper(
    performance: pd.DataFrame,
    *,
    published: pd.DataFrame,
    paper_models: Mapping[str, str],
    paper_scheme: str,
) -> pd.DataFrame:
    """Adds the paper's Table III to `performance`.

    Args:
        performance: of `performance`.
        published: the paper's numbers (`published.read`).
        paper_models: our model name to the published one, where weights and data are the paper's.
        paper_scheme: the split scheme that the paper uses.

    Returns:
        The table with paper_value, a fraction; empty where there is none. The paper's numbers are
        accuracies of one split, on all training clips.
    """
    paper = {
        (row.model, row.direction, row.approach, int(row.stage)): row.value / 100
        for row in published[published["table"] == "III"].itertuples()
    }
    beside = (
        (performance["fraction"] == WHOLE)
        & (performance["scheme"] == paper_scheme)
        & (performance["metric"] == "accuracy")
    )
    keys = zip(
        performance["model"].map(dict(paper_models)),
        performance["direction"],
        performance["approach"],
        performance["stage"],
        strict=True,
    )
    values = np.array([paper.get(key, np.nan) for key in keys], dtype=np.float64)
    return performance.assign(paper_value=np.where(beside, values, np.nan))


def table_three(performance: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table III: both stages of a direction in one row.

    Args:
        performance: of `with_paper`; its rows on all training clips, basis "seeds", are shown.

    Returns:
        corpus, scheme, model, direction, approach, metric, then for stages 1 and 2: value_<s>,
        low_<s>, high_<s>, paper_<s> (a fraction; empty where there is none, or no stage 2 of a
        control), and seeds.
    """
    part = performance[(performance["fraction"] == WHOLE) & (performance["basis"] == "seeds")]
    rows = []
    keys = ["corpus", "scheme", "model", "direction", "approach", "metric"]
    numbers = {"value": "value", "low": "low", "high": "high", "paper": "paper_value"}
    for key, group in part.groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True))
        for stage in TRAININGS:
            # A control has no second stage.
            found = group[group["stage"] == stage]
            for column, source in numbers.items():
                row[f"{column}_{stage}"] = found[source].iloc[0] if len(found) else np.nan
        rows.append(row | {"seeds": group["seeds"].min()})
    return pd.DataFrame(rows)


def table_three_markdown(table: pd.DataFrame, *, labels: Mapping[str, str], digits: int) -> str:
    """Returns `table_three` (accuracy) in Markdown."""
    shown, columns = _shown(table, labels, digits)
    return tables.markdown(shown, columns)


def table_three_latex(table: pd.DataFrame, *, labels: Mapping[str, str], digits: int) -> str:
    """Returns `table_three` (accuracy) in LaTeX (booktabs)."""
    shown, columns = _shown(table, labels, digits)
    caption = (
        "Two-stage adaptation: accuracy (%) on the source domain after stage one and on the target "
        "domain after stage two, means over seeds with their intervals."
    )
    return tables.latex(shown, columns, caption=caption, label="tab:adaptation")


def _shown(
    table: pd.DataFrame, labels: Mapping[str, str], digits: int
) -> tuple[pd.DataFrame, list[tables.Column]]:
    """Returns the accuracies with names and intervals in words, and how to show them."""
    shown = table[table["metric"] == "accuracy"].copy()
    if shown.empty:
        raise InputError("There is no accuracy to show; train at least one approach.")
    for column in ("model", "scheme", "approach"):
        shown[column] = shown[column].map(lambda name: labels.get(name, name))
    shown["direction"] = shown["direction"].map(
        lambda name: labels.get(name, name.replace("-to-", " to "))
    )
    columns = [
        tables.Column("model", "Model"),
        tables.Column("scheme", "Split"),
        tables.Column("direction", "Direction"),
        tables.Column("approach", "Approach"),
    ]
    for stage, word in ((1, "one"), (2, "two")):
        shown[f"interval_{stage}"] = [
            "" if pd.isna(low) else f"{100 * low:.1f} to {100 * high:.1f}"
            for low, high in zip(shown[f"low_{stage}"], shown[f"high_{stage}"], strict=True)
        ]
        columns += [
            tables.Column(f"value_{stage}", f"Stage {word}", digits=digits, scale=100),
            tables.Column(f"interval_{stage}", "Interval"),
            tables.Column(f"paper_{stage}", "Paper", digits=2, scale=100),
        ]
    columns.append(tables.Column("seeds", "Seeds"))
    return shown, columns


def _pairs(sides: Sequence[tuple[str, str]], controls: Sequence[str]):
    """Yields question, approach, training, a, b of every pair that answers a question."""
    long = [control(name) for name in controls]
    approaches = [name for name in dict.fromkeys(name for name, _ in sides) if name not in long]
    direct, two_stage = TRAININGS.values()
    for name in approaches:
        if (name, direct) in sides and (name, two_stage) in sides:
            yield STAGE_QUESTION, name, "", (name, two_stage), (name, direct)
        if name in controls and {(name, two_stage), (control(name), direct)} <= {*sides}:
            yield LENGTH_QUESTION, name, "", (name, two_stage), (control(name), direct)
    for training in TRAININGS.values():
        # The later approach is the larger one: a positive difference speaks for it.
        for b, a in combinations([n for n in approaches if (n, training) in sides], 2):
            yield APPROACH_QUESTION, "", training, (a, training), (b, training)


def _with_side(
    frame: pd.DataFrame, sides: Mapping[str, tuple[str, str]], seeds: Sequence[int]
) -> pd.DataFrame:
    """Returns the rows of two sides on their common seeds, with the side in the place of model."""
    kept = []
    for name, (approach, training) in sides.items():
        here = (frame["approach"] == approach) & (frame["training"] == training)
        kept.append(frame[here & frame["seed"].isin(seeds)].assign(model=name, layer=_LAYER))
    return pd.concat(kept, ignore_index=True)


def _words(question: str, approach: str, training: str, a: tuple, b: tuple) -> str:
    """Returns a comparison in words."""
    if question == STAGE_QUESTION:
        return f"{approach}: two-stage - direct"
    if question == LENGTH_QUESTION:
        return f"{approach}: two-stage - direct for as many epochs"
    return f"{training}: {a[0]} - {b[0]}"


def _over_seeds(frame: pd.DataFrame, keys: Sequence[str], value: str, band: str) -> pd.DataFrame:
    """Returns mean, band and number of seeds of a column."""
    if band not in ("range", "sd"):
        raise InputError(f"The band '{band}' is unknown; choose range or sd.")
    if frame.empty:
        return pd.DataFrame(columns=[*keys, "mean", "low", "high", "seeds", "band"])
    grouped = frame.groupby(list(keys), sort=False)[value]
    summary = grouped.agg(mean="mean", sd="std", low="min", high="max", seeds="count").reset_index()
    alone = summary["seeds"] < 2
    if band == "sd":
        summary["low"] = summary["mean"] - summary["sd"]
        summary["high"] = summary["mean"] + summary["sd"]
    summary.loc[alone, ["low", "high"]] = np.nan
    summary["band"] = np.where(alone, "", band)
    return summary.drop(columns="sd")
