"""Intervals of accuracy, average recall and recall, from stored predictions, without retraining.

Two questions have two answers, told apart by the column `basis`:

- first: how well does the classifier of *one* split and seed do? What is uncertain is which
  recordings fell into its test part. Wilson's interval for accuracy and recall; bootstrap for the
  average recall. Under the speaker split it is about further recordings of the very speakers
  tested, and too narrow for anything beyond them.
- seeds: how well does the procedure (draw a split, train, choose an epoch, test) do? Units and
  seeds both vary. Under the random split the units are recordings: the interval is about further
  recordings of the same speakers, and further splits and starts. Under the speaker split the
  units are speakers: it is about further speakers. Units are drawn with replacement, each with its
  results in all seeds; the seeds' own variation is added (`resampling.combine`); the interval
  is Wilson's with the bootstrap's variance (`resampling.score_interval`).

All are conditional on the recordings at hand as training material: that a new collection of
recordings would train other classifiers is in none of them, except in part in `corrected_t`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from consonance import predictions as stored
from consonance import resampling, tables
from consonance.errors import InputError
from consonance.predictions import Tested
from consonance.resampling import Counts, Replicates
from consonance.splits import generator
from consonance.summaries import TIE_DECIMALS

COLUMNS = (
    "corpus",
    "model",
    "domain",
    "scheme",
    "basis",
    "layer",
    "metric",
    "emotion",
    "value",
    "low",
    "high",
    "level",
    "method",
    "draws",
    "unit",
    "clusters",
    "effective",
    "clips",
    "seeds",
    "reason",
)
PERFORMANCE_COLUMNS = (
    "corpus",
    "model",
    "domain",
    "scheme",
    "basis",
    "metric",
    "statistic",
    "layers",
    "value",
    "low",
    "high",
    "split_low",
    "split_high",
    "level",
    "method",
    "draws",
    "unit",
    "clusters",
    "effective",
    "clips",
    "seeds",
    "reason",
)
WILSON = "Wilson"
BOOTSTRAP = "bootstrap"


def accuracy_intervals(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    model: str,
    scheme: str,
    emotions: Sequence[str],
    first_seed: int,
    level: float,
    draws: int,
    seed: int,
    min_clusters: int,
) -> pd.DataFrame:
    """Intervals of accuracy, UAR and recall for every layer of one probe set.

    Args:
        predictions: seed, layer, clip, emotion, predicted; the test clips of one model, domain and
            scheme.
        manifest: the kept clips.
        model: its name, for the table.
        scheme: "random" or "speaker".
        emotions: the emotions of the experiment, in order.
        first_seed: the seed of the rows with basis "first".
        level: confidence, for example 0.95.
        draws: bootstrap draws.
        seed: of the draws.
        min_clusters: with fewer units than this there is a value but no interval.

    Returns:
        Columns `COLUMNS`; one row per basis, layer, metric (accuracy, uar, recall) and emotion (for
        recall). value, low and high are fractions (value of basis "seeds": the mean over seeds);
        method says how; draws is empty where none were made; unit is what varies and clusters how
        many of them were tested; effective is the number of independent clips with the same
        variance; clips the number of different clips; seeds how many. Where there is no
        interval, reason is a sentence.

    Raises:
        InputError: predictions that do not fit the manifest or each other, more than one domain
            or corpus, no prediction of `first_seed`, or settings out of range.
    """
    result, corpus = _one(
        predictions, manifest, model=model, scheme=scheme, emotions=emotions,
        first_seed=first_seed, level=level, draws=draws,
    )  # fmt: skip
    labels = {"corpus": corpus, "model": model, "domain": result.domain, "scheme": scheme}
    frames = []
    for basis, part, counts, seed_draws in _bases(
        result, manifest, corpus=corpus, first_seed=first_seed, draws=draws, seed=seed
    ):
        for metric in ("accuracy", "uar", "recall"):
            replicates = _replicates(counts, metric, seed_draws)
            low, high, effective = resampling.score_interval(replicates, level=level)
            method = _method(part)
            made = draws
            if basis == "first" and metric != "uar":
                low, high = _wilson(counts, metric, level=level)
                effective = np.broadcast_to(_trials(counts, metric), low.shape)
                method, made = WILSON, ""
            shown = list(emotions) if metric == "recall" else [""]
            for k, layer in enumerate(part.layers):
                for e, emotion in enumerate(shown):
                    at = (k, e) if metric == "recall" else (k,)
                    units = int(counts.groups[e] if metric == "recall" else counts.groups_all)
                    clips = int(counts.clips[e] if metric == "recall" else counts.clips.sum())
                    unit = _unit(basis, scheme)
                    reason = _reason(
                        clips=clips, units=units, unit=unit, min_clusters=min_clusters,
                        emotion=emotion, wilson=method == WILSON,
                    )  # fmt: skip
                    frames.append(
                        labels
                        | {
                            "basis": basis,
                            "layer": layer,
                            "metric": metric,
                            "emotion": emotion,
                            "value": replicates.value[at],
                            "low": np.nan if reason else low[at],
                            "high": np.nan if reason else high[at],
                            "level": level,
                            "method": method,
                            "draws": made,
                            "unit": unit,
                            "clusters": units,
                            "effective": np.nan if reason else effective[at],
                            "clips": clips,
                            "seeds": len(part.seeds),
                            "reason": reason,
                        }
                    )
    return pd.DataFrame(frames, columns=list(COLUMNS))


def performance_intervals(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    model: str,
    scheme: str,
    emotions: Sequence[str],
    first_seed: int,
    level: float,
    draws: int,
    seed: int,
    min_clusters: int,
) -> pd.DataFrame:
    """Intervals of what the paper's Tables I and II show: best, worst and mean over the layers.

    Values are those of `summaries.performance_table`. The interval of the best (worst) layer is
    that of the layer found, as if it had been chosen beforehand; it was chosen on the same test
    clips, as in the paper, so value and interval are optimistic (pessimistic).

    Args:
        predictions: as `accuracy_intervals`.
        manifest: likewise.
        model: likewise.
        scheme: likewise.
        emotions: likewise.
        first_seed: likewise.
        level: likewise.
        draws: likewise.
        seed: likewise.
        min_clusters: likewise.

    Returns:
        Columns `PERFORMANCE_COLUMNS`; one row per basis, metric (accuracy, uar) and statistic
        (best, worst, mean; layers from 1 on). split_low and split_high (basis "seeds") say where
        the value of one further split and start would fall with the given confidence: value -+ t
        sqrt(variance of the mean + variance of one split), within [0, 1]. A number of one
        split, such as the paper's, is to be held against these.

    Raises:
        InputError: as `accuracy_intervals`, or no layer from 1 on.
    """
    result, corpus = _one(
        predictions, manifest, model=model, scheme=scheme, emotions=emotions,
        first_seed=first_seed, level=level, draws=draws,
    )  # fmt: skip
    kept = [k for k, layer in enumerate(result.layers) if layer >= 1]
    if not kept:
        raise InputError(
            f"The predictions of {model} on {result.domain} hold no layer from 1 on, so there is "
            "no best one; add layers to the probes."
        )
    labels = {"corpus": corpus, "model": model, "domain": result.domain, "scheme": scheme}
    rows = []
    for basis, part, counts, seed_draws in _bases(
        result, manifest, corpus=corpus, first_seed=first_seed, draws=draws, seed=seed
    ):
        unit = _unit(basis, scheme)
        clips = int(counts.clips.sum())
        reason = _reason(
            clips=clips, units=counts.groups_all, unit=unit, min_clusters=min_clusters,
            emotion="", wilson=False,
        )  # fmt: skip
        for metric in ("accuracy", "uar"):
            per_layer = counts.score(metric)[:, :, kept]
            # The mean over layers is a further column behind them.
            both = np.concatenate([per_layer, per_layer.mean(axis=2, keepdims=True)], axis=2)
            replicates = _of_all(both, seed_draws, counts)
            low, high, effective = resampling.score_interval(replicates, level=level)
            split_low, split_high = resampling.split_interval(replicates, level=level)
            layers = [part.layers[k] for k in kept]
            for statistic, (at, named) in _places(replicates.value[:-1], layers).items():
                ends = [low[at], high[at], split_low[at], split_high[at]]
                method, made, size = _method(part), draws, effective[at]
                if basis == "first":
                    ends[2:] = np.nan, np.nan
                    if metric == "accuracy" and statistic != "mean":
                        wilson = _wilson(counts, metric, level=level)
                        ends[:2] = (end[kept[at]] for end in wilson)
                        method, made, size = WILSON, "", float(_trials(counts, metric)[0])
                if reason:
                    ends, size = [np.nan] * 4, np.nan
                rows.append(
                    labels
                    | {
                        "basis": basis,
                        "metric": metric,
                        "statistic": statistic,
                        "layers": named,
                        "value": replicates.value[at],
                        **dict(zip(("low", "high", "split_low", "split_high"), ends, strict=True)),
                        "level": level,
                        "method": method,
                        "draws": made,
                        "unit": unit,
                        "clusters": counts.groups_all,
                        "effective": size,
                        "clips": clips,
                        "seeds": len(part.seeds),
                        "reason": reason,
                    }
                )
    return pd.DataFrame(rows, columns=list(PERFORMANCE_COLUMNS))


def corrected_t(
    values: pd.DataFrame, *, keys: Sequence[str], level: float, test_to_train: float
) -> pd.DataFrame:
    """Student's t over seeds, corrected for the overlap of their training sets.

    mean -+ t_(S-1) sqrt((1 / S + n_test / n_train) s^2) over S seeds (Nadeau & Bengio 2003,
    Machine Learning 52, 239-281). It needs scores only, no predictions, allows for new training
    recordings as well, and is wide with few seeds: in simulations of five seeds it covers the
    truth 97 to 98 % of the time where it promises 95 %.

    Args:
        values: the columns `keys`, seed and value.
        keys: what tells one quantity from another.
        level: confidence.
        test_to_train: n_test / n_train, 1/3 for a division 60/20/20.

    Returns:
        The columns `keys`, value (mean), low, high, p (two-sided, of the mean being 0), level,
        method, seeds and reason; rows in order of first appearance. One seed has no interval, and
        the reason says so.

    Raises:
        InputError: a column is missing, a seed occurs twice, or a setting is out of range.
    """
    tables.require(values, [*keys, "seed", "value"], what="intervals over seeds")
    problems = _settings(level=level)
    if not test_to_train > 0:
        problems.append(f"The ratio of test to training clips is {test_to_train}; it must be > 0.")
    if values.duplicated([*keys, "seed"]).any():
        problems.append("A seed occurs twice for the same quantity; give each score once.")
    if problems:
        raise InputError(problems)
    rows = []
    for key, part in values.groupby(list(keys), sort=False):
        seeds = part["value"].dropna()
        n, mean = len(seeds), seeds.mean()
        row = dict(zip(keys, key, strict=True)) | {"value": mean}
        row |= {"low": np.nan, "high": np.nan, "p": np.nan, "level": level}
        row |= {"method": "t over seeds (Nadeau-Bengio)", "seeds": n, "reason": ""}
        if n < 2:
            row["reason"] = f"{n or 'No'} seed has a value; an interval over seeds needs two."
        else:
            error = np.sqrt((1 / n + test_to_train) * seeds.var())
            half = stats.t.ppf((1 + level) / 2, n - 1) * error
            certain = 1.0 if mean == 0 else 0.0
            p = 2 * stats.t.sf(abs(mean) / error, n - 1) if error > 0 else certain
            row |= {"low": mean - half, "high": mean + half, "p": p}
        rows.append(row)
    return pd.DataFrame(rows)


# Inside -------------------------------------------------------------------------------------------


def _one(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    model: str,
    scheme: str,
    emotions: Sequence[str],
    first_seed: int,
    level: float,
    draws: int,
) -> tuple[Tested, str]:
    """Arranges one probe set; returns it and the corpus."""
    problems = _settings(level=level, draws=draws)
    if problems:
        raise InputError(problems)
    labelled = predictions.assign(model=model, scheme=scheme)
    found = stored.arrange(labelled, manifest, emotions=emotions)
    if len(found) > 1:
        raise InputError(
            f"The predictions of {model} mix the domains {', '.join(key[1] for key in found)}; "
            "give one domain at a time."
        )
    (result,) = found.values()
    if first_seed not in result.seeds:
        raise InputError(
            f"The predictions of {model} on {result.domain} ({scheme} split) have no seed "
            f"{first_seed}; they have {', '.join(map(str, result.seeds))}."
        )
    corpora = manifest.loc[manifest["clip"].isin(result.clips), "corpus"].unique()
    if len(corpora) > 1:
        raise InputError(
            f"The clips of {model} belong to the corpora {', '.join(corpora)}; give one at a time."
        )
    return result, corpora[0]


def _settings(*, level: float, draws: int | None = None) -> list[str]:
    """Returns what is wrong with the settings."""
    problems = []
    if not 0 < level < 1:
        problems.append(f"The level of confidence is {level}; it must lie between 0 and 1.")
    if draws is not None and draws < 2:
        problems.append(f"The number of bootstrap draws is {draws}; it must be at least 2.")
    return problems


def _bases(
    result: Tested,
    manifest: pd.DataFrame,
    *,
    corpus: str,
    first_seed: int,
    draws: int,
    seed: int,
) -> list[tuple[str, Tested, Counts, np.ndarray]]:
    """Draws for one split (units are clips) and for all seeds (units of the scheme)."""
    made = []
    for basis, part, scheme in (
        ("first", result.of_seeds([first_seed]), "random"),
        ("seeds", result, result.scheme),
    ):
        rng = generator(seed, f"intervals/{corpus}/{'/'.join(result.key)}/{basis}")
        (counts,), seed_draws = resampling.draw_counts(
            [part], manifest, scheme=scheme, draws=draws, rng=rng
        )
        made.append((basis, part, counts, seed_draws))
    return made


def _replicates(counts: Counts, metric: str, seed_draws: np.ndarray) -> Replicates:
    """Returns the draws of a metric: (L,), or (L, E) for recall."""
    if metric == "recall":
        return resampling.combine(
            counts.recall(), seed_draws, groups=counts.groups, effective=counts.effective
        )
    return _of_all(counts.score(metric), seed_draws, counts)


def _of_all(per_seed: np.ndarray, seed_draws: np.ndarray, counts: Counts) -> Replicates:
    return resampling.combine(
        per_seed, seed_draws, groups=counts.groups_all, effective=counts.effective_all
    )


def _trials(counts: Counts, metric: str) -> np.ndarray:
    """Returns how many clips were tested in the first seed: (E,), or (1,) over all emotions."""
    tested = counts.tested[0, 0]
    return tested if metric == "recall" else tested.sum(keepdims=True)


def _wilson(counts: Counts, metric: str, *, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns Wilson's interval of the first seed: (L,), or (L, E) for recall."""
    correct = counts.correct[0, 0]
    hits = correct if metric == "recall" else correct.sum(axis=-1, keepdims=True)
    trials = np.broadcast_to(_trials(counts, metric), hits.shape)
    low, high = np.full(hits.shape, np.nan), np.full(hits.shape, np.nan)
    some = trials > 0
    low[some], high[some] = proportion_confint(
        hits[some], trials[some], alpha=1 - level, method="wilson"
    )
    return (low, high) if metric == "recall" else (low[:, 0], high[:, 0])


def _places(by_layer: np.ndarray, layers: Sequence[int]) -> dict[str, tuple[int, str]]:
    """Returns, per statistic, its index and the layers ("4, 5" if tied)."""
    rounded = np.round(by_layer, TIE_DECIMALS)
    places = {}
    for statistic, extreme in (("best", rounded.max()), ("worst", rounded.min())):
        found = np.flatnonzero(rounded == extreme)
        places[statistic] = (int(found[0]), ", ".join(str(layers[k]) for k in found))
    places["mean"] = (-1, "")
    return places


def _method(part: Tested) -> str:
    return BOOTSTRAP if len(part.seeds) > 1 else f"{BOOTSTRAP}, one seed"


def _unit(basis: str, scheme: str) -> str:
    return "clip" if basis == "first" else resampling.UNIT_OF_SCHEME[scheme]


def _reason(
    *, clips: int, units: int, unit: str, min_clusters: int, emotion: str, wilson: bool
) -> str:
    """Returns why there is no interval, or ''."""
    which = f" of '{emotion}'" if emotion else ""
    if clips == 0:
        return f"No clip{which} was tested, so there is no value."
    if clips == 1:
        return f"Only one clip{which} was tested, which says nothing about others."
    if not wilson and units < min_clusters:
        return (
            f"Only {units} {unit}{'s' if units > 1 else ''} with clips{which} were tested; an "
            f"interval over {unit}s needs at least {min_clusters}."
        )
    return ""
